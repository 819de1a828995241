#!/usr/bin/env bash
# Every test. As root nothing may be skipped; otherwise what needs namespaces skips itself and says so.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/path.sh

# Five minutes of a cluster that waits for its API server.
readonly OUTAGE=guards_outlast_an_outage

log="" outage=""

main() {
  local failed=0
  log=$(mktemp)
  trap ended EXIT
  [[ $EUID -ne 0 ]] || export CI=true
  step "generated files"
  scripts/gen.sh --check
  step "clippy of the BPF programs"
  scripts/clippy-programs.sh
  if [[ $EUID -eq 0 ]]; then
    step "Kubernetes for the cluster tests"
    scripts/kube.sh
  fi
  step "building"
  # Tests run the programs of other packages.
  cargo build --quiet --locked --workspace --bins
  cargo test --quiet --locked --workspace --no-run
  step "tests that mind no company, beside an outage of the API server"
  cargo test --quiet --locked --workspace --test stoq -- "$OUTAGE" --nocapture >"$log" 2>&1 &
  outage=$!
  tests beside || failed=1
  # With the feature ebpf it is tested above, as others of the workspace have it on.
  cargo test --locked -p stoq || failed=1
  step "fuzzing parser and guard for 60 s, the AF_XDP rings for 20 s"
  { scripts/fuzz.sh guard 60 && scripts/fuzz.sh ring 20; } || failed=1
  step "the end of the outage"
  wait "$outage" || failed=1
  outage=""
  cat "$log"
  step "tests that count every packet"
  tests alone --skip "$OUTAGE" || failed=1
  [[ $EUID -eq 0 ]] ||
    echo "left out: what needs network namespaces and BPF; all of it: sudo env \"PATH=\$PATH\" make test"
  return $failed
}

step() { echo "== $1 (after $SECONDS s)"; }

# when, arguments of every test program
tests() {
  cargo --config "target.'cfg(all())'.runner = ['$PWD/scripts/turn.sh', '$1']" \
    test --locked --workspace --no-fail-fast -- "${@:2}"
}

ended() {
  # cargo, and the program that it runs.
  [[ -z $outage ]] || pkill --parent "$outage" || true
  rm -f "$log"
}

main
