#!/bin/bash
# Guests whose vCPUs stop at random moments and go on from their state, after a reset or in a new VM (tests/hop/main.c),
# do not notice: those with L2, each at several paces, and some without. Guests that measure real time, or count on
# another CPU within a few milliseconds of it, are left out, since a move takes some milliseconds. So is svm_perf, which
# compares performance counters with the TSC: the counters stand still during a move.
set -u
HOP_LOG=$(mktemp) || exit 2
export HOP_LOG
trap 'rm -f "$HOP_LOG"' EXIT
nested=$(awk '/^(vmx|svm)_/ && !/^(vmx_priorities|svm_perf)/ && !seen[$1]++ { print $1 }' tests/guest/table)
# shellcheck disable=SC2086
for pace in 10 30 100 300; do
    HOP_US=$pace HOP_NEW=10 tests/guest/run.sh build/release/hop $nested || exit 1
done
HOP_US=200 HOP_NEW=20 tests/guest/run.sh build/release/hop paging fault smc mode debug apic machine ferr smp || exit 1
awk '{ moves += $1; new += $2; l2 += $3 }
    END { print moves " moves, " new " to a new VM, " l2 " in L2"; exit !(new >= 20 && l2 >= 50) }' "$HOP_LOG"
