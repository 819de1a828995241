#!/usr/bin/env bash
# Every test. As root nothing may be skipped; otherwise what needs namespaces skips itself and says so.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/path.sh

step() { echo "== $1"; }

if [[ $EUID -eq 0 ]]; then
  export CI=true
fi

step "generated files"
scripts/gen.sh --check
step "clippy of the BPF programs"
scripts/clippy-programs.sh
if [[ $EUID -eq 0 ]]; then
  step "Kubernetes for the cluster tests"
  scripts/kube.sh
fi
step "tests"
# Tests run the programs of other packages.
cargo build --quiet --locked --workspace --bins
cargo test --locked --workspace --no-fail-fast
# With the feature ebpf it was tested above, as others of the workspace have it on.
cargo test --locked -p stoq
step "fuzzing parser and guard for 60 s"
scripts/fuzz.sh guard 60
step "fuzzing the AF_XDP rings for 20 s"
scripts/fuzz.sh ring 20
if [[ $EUID -ne 0 ]]; then
  echo "left out: what needs network namespaces and BPF; all of it: sudo env \"PATH=\$PATH\" make test"
fi
