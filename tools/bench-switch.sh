#!/bin/bash
# Part of `make bench`: a virtual switch by itself, without VMs. Prints values, and fails if a promise of SPEC.md is
# missed. What a value means stands in tests/perf/switch.c. Of each value the best of the rounds counts.
# usage: bench-switch.sh [ROUNDS]
set -u
here=$(dirname "$0")
. "$here/need.sh"
rounds=${1:-3}
need_build
make -s -j2 build/release/switch-bench || die "the build failed"
out=build/bench
mkdir -p $out
: >$out/switch.log
for ((round = 1; round <= rounds; round++)); do
    say "a switch without VMs, round $round of $rounds"
    timeout 120 build/release/switch-bench >>$out/switch.log || die "no measurement: $out/switch.log"
done
missed=0
printf '%-34s %10s  %s\n' what value promise
row() { # name, unit, "most" or "least" or "near" or "value", limit
    awk -v name="$1" -v unit="$2" -v kind="$3" -v limit="${4:-}" '
        $1 == name {
            better = kind == "most" ? $2 < best : kind == "near" ? ($2 - limit) ^ 2 < (best - limit) ^ 2 : $2 > best
            if (!seen++ || better) best = $2
        }
        END {
            kept = kind == "most" ? best <= limit : kind == "near" ? best >= limit * .95 && best <= limit * 1.05 : \
                kind == "least" ? best >= limit : 1
            text = kind == "most" ? "at most " limit : kind == "near" ? limit ", within 5 %" : \
                kind == "least" ? "at least " limit : ""
            if (!seen) kept = 0
            printf "%-34s %10s  %s%s\n", name ", " unit, seen ? best : "-", text, kept ? "" : ": MISSED"
            exit !kept
        }' $out/switch.log || missed=1
}
row frames64-cpu 'million per CPU second' least 1
row frames64 'million per second' least 1
row bits64 'Gbit/s' value
row frames1514-cpu 'million per CPU second' value
row bits1514 'Gbit/s' value
row round-trip-direct us value
row round-trip-switch us value
row hop us most 10
for rate in 1M 100M 1G 10G; do
    row limit-$rate 'of the limit' near 1
done
row flood-share 'of two that flood' least 0.45
row flood-beside 'of frames beside a flood' least 1
row flood-delay us value
exit $missed
