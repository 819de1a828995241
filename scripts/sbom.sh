#!/usr/bin/env bash
# sbom.sh PACKAGE: what is compiled into its static binary, as CycloneDX 1.5.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/path.sh

readonly TARGETS=(x86_64-unknown-linux-musl aarch64-unknown-linux-musl)

# Crates of normal dependencies: name, version and licence. Those of procedural macros and build
# scripts run at build time only.
crates() {
  local target
  for target in "${TARGETS[@]}"; do
    cargo tree --quiet --locked -p "$1" --target "$target" --edges normal,no-proc-macro \
      --prefix none --no-dedupe --format '{p}|{l}'
  done | sed -E 's/ v([^ |]+)( \([^|]*\))?\|/|\1|/' | sort -u
}

crates "$1" | jq --raw-input --slurp --arg package "$1" '
  [split("\n")[] | select(. != "") | split("|") | {
    type: "library", name: .[0], version: .[1],
    purl: "pkg:cargo/\(.[0])@\(.[1])", "bom-ref": "pkg:cargo/\(.[0])@\(.[1])",
    licenses: [{expression: (.[2] | gsub("/"; " OR "))}],
  }] | (.[] | select(.name == $package)) as $own | {
    bomFormat: "CycloneDX", specVersion: "1.5", version: 1,
    metadata: {component: ($own | .type = "application")},
    components: [.[] | select(.name != $package)],
  }'
