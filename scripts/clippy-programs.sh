#!/usr/bin/env bash
# Clippy over the BPF programs, for their own target.
set -euo pipefail
cd "$(dirname "$0")/../ebpf/programs"
# The build's own directory would be rebuilt for other flags each time.
RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$PWD/target/clippy" cargo clippy --quiet --locked --workspace --release \
  -Z build-std=core --target bpfel-unknown-none -- -D warnings
