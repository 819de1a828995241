#!/usr/bin/env bash
# Fuzzes parser and guard for so many seconds, starting from the committed corpus.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
# New inputs go to the first directory, so that the committed one stays as it is.
found=fuzz/target/corpus/guard
mkdir -p "$found"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# No sanitizer: the code under test forbids unsafe code.
if ! cargo fuzz run --sanitizer none guard "$found" fuzz/corpus/guard -- \
  -max_total_time="$seconds" -print_final_stats=1 >"$log" 2>&1; then
  tail -n 60 "$log" >&2
  exit 1
fi
grep -E 'number_of_executed_units|average_exec_per_sec' "$log"
