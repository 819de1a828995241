#!/usr/bin/env bash
# fuzz.sh build, or fuzz.sh TARGET SECONDS [TARGET SECONDS...]: fuzzes from the committed corpus.
# guard: parser and guard; ring: the AF_XDP rings of a hostile peer.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/path.sh

# No sanitizer: parser and guard forbid unsafe code, and a sanitizer knows nothing of the bounds of
# mapped memory; Miri does (scripts/miri.sh).
readonly OPTIONS=(--sanitizer none)

main() {
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  if [[ $1 == build ]]; then
    quietly cargo fuzz build "${OPTIONS[@]}"
    return
  fi
  while [[ $# -gt 0 ]]; do
    fuzz "$1" "$2"
    shift 2
  done
}

# target, seconds
fuzz() {
  # New inputs go to the first directory, so that the committed one stays as it is.
  local found=fuzz/target/corpus/$1
  mkdir -p "$found"
  quietly cargo fuzz run "${OPTIONS[@]}" "$1" "$found" "fuzz/corpus/$1" -- \
    -max_total_time="$2" -print_final_stats=1
  echo "fuzzed $1 for $2 s:"
  grep -E 'number_of_executed_units|average_exec_per_sec' "$log"
}

quietly() { "$@" >"$log" 2>&1 || { tail -n 60 "$log" >&2; return 1; }; }

main "$@"
