#!/usr/bin/env bash
# Every test. As root nothing may be skipped; otherwise what needs namespaces skips itself and says so.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/path.sh

# A cluster that waits five minutes for its API server. It counts every packet, but sends so few that
# its sockets have room for all that come while the processors are busy.
readonly OUTAGE=guards_outlast_an_outage

failed=0
# What runs beside other things: its process by its name.
declare -A aside=()

main() {
  logs=$(mktemp -d)
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
  scripts/fuzz.sh build

  begin outage cargo test --quiet --locked --workspace --test stoq -- "$OUTAGE" --nocapture
  begin fuzzers nice scripts/fuzz.sh guard 60 ring 20
  step "tests that mind no company, beside an outage of the API server and the fuzzers"
  tests beside || failed=1
  # With the feature ebpf it is tested above, as others of the workspace have it on.
  cargo test --locked -p stoq || failed=1
  finish fuzzers
  finish outage
  grep -q "^running 1 test" "$logs/outage" ||
    { echo "no test is named $OUTAGE"; failed=1; }
  step "tests that count or time every packet"
  tests alone --skip "$OUTAGE" || failed=1
  step "end"
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

# name, command
begin() {
  # In a group of its own, to be ended as a whole.
  setsid "${@:2}" >"$logs/$1" 2>&1 &
  aside[$1]=$!
}

# name
finish() {
  step "$1, which ran beside"
  wait "${aside[$1]}" || failed=1
  unset "aside[$1]"
  cat "$logs/$1"
}

ended() {
  local process
  for process in "${aside[@]}"; do
    kill -- "-$process" || true
    wait "$process" || true
  done
  rm -rf "$logs"
  # What a killed cluster has left.
  [[ ${#aside[@]} -eq 0 ]] || make --silent clean-lab
}

main
