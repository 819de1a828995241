#!/usr/bin/env bash
# Fuzzes a target for so many seconds, starting from its committed corpus.
# guard: parser and guard; ring: the AF_XDP rings of a hostile peer.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${1:-guard}
seconds=${2:-60}
# New inputs go to the first directory, so that the committed one stays as it is.
found=fuzz/target/corpus/$target
mkdir -p "$found"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# No sanitizer: parser and guard forbid unsafe code, and a sanitizer knows nothing of the bounds of
# mapped memory; Miri does (scripts/miri.sh).
if ! cargo fuzz run --sanitizer none "$target" "$found" "fuzz/corpus/$target" -- \
  -max_total_time="$seconds" -print_final_stats=1 >"$log" 2>&1; then
  tail -n 60 "$log" >&2
  exit 1
fi
grep -E 'number_of_executed_units|average_exec_per_sec' "$log"
