#!/usr/bin/env bash
# images.sh [PACKAGE...]: images of the programs for amd64 and arm64, and a list of what is in them,
# to target/images. Needs no registry and no container engine.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/path.sh

readonly LIMIT=$((20 * 1000 * 1000)) OUT=target/images

main() {
  local packages=("$@") architecture package
  [[ $# -gt 0 ]] || packages=(stoq-agent stoq-operator)
  cargo build --quiet --locked -p stoq-cluster --bin cluster
  for architecture in amd64 arm64; do
    scripts/static.sh "$architecture" "${packages[@]}"
    for package in "${packages[@]}"; do
      image "$package" "$architecture"
    done
  done
  for package in "${packages[@]}"; do
    scripts/sbom.sh "$package" >"$OUT/$package.cdx.json"
  done
  sizes
}

# As the Dockerfile has them.
image() {
  local user="" version
  version=$(cargo pkgid -p "$1" | sed 's/.*[#@]//')
  [[ $1 != stoq-operator ]] || user=65532:65532
  "${CARGO_TARGET_DIR:-target}/debug/cluster" image "registry.invalid/stoq/${1#stoq-}:$version" \
    --architecture "$2" --user "$user" --program "/$1=$OUT/bin/$2/$1" --entrypoint "/$1" \
    --output "$OUT/$1-$2.tar"
}

sizes() {
  local image size large=0
  for image in "$OUT"/*.tar; do
    size=$(stat -c %s "$image")
    echo "$(numfmt --to=si --suffix=B "$size") $image"
    [[ $size -le $LIMIT ]] || large=1
  done
  [[ $large -eq 0 ]] || { echo "images: larger than $((LIMIT / 1000000)) MB" >&2; exit 1; }
}

main "$@"
