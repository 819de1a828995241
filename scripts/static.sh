#!/usr/bin/env bash
# static.sh ARCHITECTURE PACKAGE...: static binaries for amd64 or arm64, to target/images/bin/ARCHITECTURE.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/path.sh

main() {
  [[ $# -ge 2 ]] || { echo "usage: static.sh amd64|arm64 PACKAGE..." >&2; exit 2; }
  local target out=target/images/bin/$1 package packages=()
  case $1 in
    amd64) target=x86_64-unknown-linux-musl ;;
    arm64) target=aarch64-unknown-linux-musl ;;
    *) echo "static.sh: $1 is neither amd64 nor arm64" >&2; exit 2 ;;
  esac
  shift
  rustup target list --installed | grep "^$target$" >/dev/null || rustup target add "$target"
  linker "$target"
  for package; do packages+=(-p "$package"); done
  cargo build --quiet --locked --profile image --target "$target" "${packages[@]}" --bins
  mkdir -p "$out"
  # Cargo does not strip a package that has settings of its own in the profile.
  for package; do
    "${target%%-*}-linux-gnu-strip" -o "$out/$package" "${CARGO_TARGET_DIR:-target}/$target/image/$package"
  done
}

# Rust's own linker and C library; of the system only a compiler for the C of ring, which calls no library.
linker() {
  local name=${1//-/_} compiler
  export "CARGO_TARGET_${name^^}_LINKER=rust-lld" "CARGO_TARGET_${name^^}_RUSTFLAGS=-C link-self-contained=yes"
  compiler=$(compiler "${1%%-*}") ||
    { echo "static.sh: no C compiler for $1: scripts/setup.sh images installs one" >&2; exit 1; }
  export "CC_$name=$compiler"
}

compiler() {
  local candidate candidates=("$1-linux-musl-gcc" "$1-linux-gnu-gcc")
  [[ $1 != "$(uname -m)" ]] || candidates=(musl-gcc "${candidates[@]}")
  for candidate in "${candidates[@]}"; do
    ! command -v "$candidate" || return 0
  done
  return 1
}

main "$@"
