#!/usr/bin/env bash
# Writes what is generated and committed; --check compares instead.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/path.sh
[[ $# -eq 0 || "$*" == --check ]] || { echo "usage: gen.sh [--check]" >&2; exit 2; }

cargo run --quiet --locked -p stoq-crds --bin crdgen -- "$@"
# The metrics page is compared by the same test that writes it.
[[ $# -eq 1 ]] || UPDATE=1 cargo test --quiet --locked -p stoq-agent --lib docs_are_current >/dev/null
ebpf/programs/build.sh "$@"
