#!/usr/bin/env bash
# Builds the Kubernetes of tests/cluster into target/kube, if its sources have changed.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/path.sh

readonly VERSION=1.34.4 SOURCES=tests/cluster/kube GO_NEEDED=26
out=$(realpath -m "${CARGO_TARGET_DIR:-target}/kube")

main() {
  local hash
  hash=$(sources_hash)
  if [[ -x $out/kube && $(cat "$out/hash" 2>/dev/null) == "$hash" ]]; then
    return 0
  fi
  go_is_there
  echo "kube: building Kubernetes $VERSION (about 11 minutes on 2 cores; with Go's cache warm, 20 s)" >&2
  mkdir -p "$out"
  build
  ln -sf kube "$out/kubectl"
  echo "$hash" >"$out/hash"
  echo "kube: $out/kube in $SECONDS s" >&2
}

sources_hash() { cat scripts/kube.sh "$SOURCES"/{main.go,go.mod,go.sum} | sha256sum | cut -d ' ' -f 1; }

go_is_there() {
  local minor
  minor=$(go env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
  [[ ${minor:-0} -ge $GO_NEEDED ]] ||
    { echo "kube: Go 1.$GO_NEEDED or later is missing: see https://go.dev/doc/install" >&2; exit 1; }
}

build() {
  local package=k8s.io/component-base/version client=k8s.io/client-go/pkg/version flags="-s -w" name
  for name in $package $client; do
    flags+=" -X $name.gitVersion=v$VERSION -X $name.gitMajor=${VERSION%%.*} -X $name.gitMinor=$(cut -d. -f2 <<<$VERSION)"
  done
  (cd $SOURCES && CGO_ENABLED=0 GOTOOLCHAIN=local go build -trimpath -buildvcs=false -ldflags "$flags" -o "$out/kube.new" .)
  mv "$out/kube.new" "$out/kube"
}

main
