#!/usr/bin/env bash
# Builds the BPF objects next to this script; --check compares with the committed ones instead.
set -euo pipefail
cd "$(dirname "$0")"
[[ $# -eq 0 || "$*" == --check ]] || { echo "usage: build.sh [--check]" >&2; exit 2; }

cargo fetch --quiet --locked
sysroot=$(rustc --print sysroot)
objcopy=$(echo "$sysroot"/lib/rustlib/*/bin/rust-objcopy)
flags=(-Cdebuginfo=2 -Clink-arg=--btf --remap-path-scope=object
  "--remap-path-prefix=$(dirname "$(dirname "$PWD")")=/stoq" "--remap-path-prefix=$sysroot=/rust")
# The registry's directory is named after its mirror: remap each, not their parent.
for registry in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
  flags+=("--remap-path-prefix=$registry=/cargo")
done
export RUSTC_BOOTSTRAP=1 RUSTC_WRAPPER="$PWD/rustc.sh" CARGO_TARGET_DIR="$PWD/target"
CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f'; echo "${flags[*]}")
export CARGO_ENCODED_RUSTFLAGS
cargo build --quiet --locked --workspace --release -Z build-std=core --target bpfel-unknown-none

for name in stoq lab; do
  built=target/$name.bpf.o
  # BTF stays; the DWARF it was made of is nine tenths of the file.
  LD_LIBRARY_PATH="$sysroot/lib" "$objcopy" --strip-debug \
    "target/bpfel-unknown-none/release/$name" "$built"
  if [[ $# -eq 0 ]]; then
    cp "$built" "$name.bpf.o"
  elif ! cmp -s "$built" "$name.bpf.o"; then
    echo "ebpf/programs/$name.bpf.o is not what its sources give: run ebpf/programs/build.sh and commit it" >&2
    exit 1
  fi
done
