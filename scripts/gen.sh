#!/usr/bin/env bash
# Writes what is generated and committed; --check compares instead.
set -euo pipefail
cd "$(dirname "$0")/.."
[[ $# -eq 0 || "$*" == --check ]] || { echo "usage: gen.sh [--check]" >&2; exit 2; }

cargo run --quiet --locked -p stoq-crds --bin crdgen -- "$@"
ebpf/programs/build.sh "$@"
