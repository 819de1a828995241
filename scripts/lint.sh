#!/usr/bin/env bash
# Format, clippy, shell scripts, licences, architecture. Quiet when all is well.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/path.sh

for manifest in Cargo.toml ebpf/programs/Cargo.toml fuzz/Cargo.toml; do
  cargo fmt --all --check --manifest-path "$manifest"
done
cargo clippy --quiet --locked --workspace --all-targets -- -D warnings
# Others of the workspace have its feature ebpf on.
cargo clippy --quiet --locked -p stoq --all-targets -- -D warnings
cargo clippy --quiet --locked --manifest-path fuzz/Cargo.toml -- -D warnings
scripts/clippy-programs.sh
git ls-files '*.sh' .ci/run | xargs shellcheck --external-sources --source-path=SCRIPTDIR/..
unformatted=$(gofmt -l tests/cluster/kube)
[[ -z $unformatted ]] || { echo "gofmt: $unformatted" >&2; exit 1; }
# Licences, the direction of dependencies, where unsafe code is.
cargo test --quiet --locked -p stoq-lab --test architecture
