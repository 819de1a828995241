#!/usr/bin/env bash
# Runs the tests of rings, frames and mapped memory under Miri, minutes: what is undefined, or a race
# of the two ends, fails. Not part of `make test`: Miri comes with nightly toolchains only.
# Once: rustup toolchain install nightly --profile minimal --component miri,rust-src
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/path.sh

af_xdp=(af_xdp::frames af_xdp::intake af_xdp::mapping af_xdp::ring)
miri() { cargo +nightly miri test --quiet --locked --target-dir target/miri -p stoq-ebpf --lib -- "$@"; }

miri "${af_xdp[@]}"
# With other schedules, and other choices of what a load may see.
export MIRIFLAGS="-Zmiri-many-seeds=1..${1:-5}"
miri af_xdp::intake::tests::both_ends
