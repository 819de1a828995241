#!/usr/bin/env bash
# Sets up, builds agent and lab in release and runs one of the lab's programs: demo or bench.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/path.sh
name=$1
if [[ $EUID -ne 0 ]]; then
  echo "make $name: needs root, for network namespaces and BPF: sudo env \"PATH=\$PATH\" make $name" >&2
  exit 1
fi
scripts/setup.sh
features=()
if [[ $name == bench ]]; then
  # s2n-quic, to compare with.
  features=(--features stoq-lab/s2n-quic)
fi
cargo build --release --locked -p stoq-agent -p stoq-lab --bins "${features[@]}"
# As it was built: `cargo run` of one package alone would build its dependencies anew.
exec "${CARGO_TARGET_DIR:-target}/release/$name"
