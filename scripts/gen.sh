#!/usr/bin/env bash
# Writes what is generated and committed; --check compares instead.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/path.sh
[[ $# -eq 0 || "$*" == --check ]] || { echo "usage: gen.sh [--check]" >&2; exit 2; }

cargo run --quiet --locked -p stoq-crds --bin crdgen -- "$@"
# These are compared by the same tests that write them.
if [[ $# -eq 0 ]]; then
  UPDATE=1 cargo test --quiet --locked -p stoq-agent --lib docs_are_current >/dev/null
  UPDATE=1 cargo test --quiet --locked -p stoq-cluster --test deploy >/dev/null
fi
ebpf/programs/build.sh "$@"
