#!/usr/bin/env bash
# turn.sh WHEN PROGRAM [ARGUMENT...]: a runner for `cargo test`. Runs a test program if WHEN is its
# turn: `alone` what counts or times every packet and so needs the processors for itself, `beside`
# all others.
set -euo pipefail
when=$1 program=$2
case $(basename "$PWD")/$(basename "$program") in
  lab/architecture-*) turn=beside ;;
  lab/* | cluster/device_plugin-* | cluster/readmit-* | cluster/stoq-* | cluster/stoq_clients-*)
    turn=alone ;;
  *) turn=beside ;;
esac
[[ $turn == "$when" ]] || exit 0
shift
"$@" || { code=$?; echo "failed after $SECONDS s: $program"; exit "$code"; }
echo "took $SECONDS s: $(basename "$PWD")/$(basename "$program")"
