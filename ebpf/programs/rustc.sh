#!/usr/bin/env bash
# RUSTC_WRAPPER: the same crate hashes, hence symbols, wherever the sources lie.
# Cargo's -C metadata is made of absolute paths for crates outside the workspace (stoq-ebpf-abi, core).
set -euo pipefail
[[ " $* " == *" --target bpfel-unknown-none "* ]] || exec "$@"
exec "${@/#metadata=*/metadata=${CARGO_CRATE_NAME:-}-${CARGO_PKG_VERSION:-}}"
