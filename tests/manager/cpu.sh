#!/bin/bash
# What a running VM uses of the host's CPUs, and its limits, which change while it runs. Where this user can have no
# control groups for CPUs, a limit is a note and the VM runs.
set -u
. "$(dirname "$0")/lib.sh"

# A boot sector that goes round in circles.
printf '\xeb\xfe' >"$work/busy.raw"
truncate -s 510 "$work/busy.raw"
printf '\x55\xaa' >>"$work/busy.raw"
truncate -s 1M "$work/busy.raw"
nb create lab --generation 1 --memory 64M --accel engine --disk "$work/busy.raw"
nb start lab
group() { grep -o "/nestbox-$("$NB" show lab --json | jq -r .id)" "/proc/$(qemu_process lab)/cgroup"; }
per_mille() { # of one CPU, in three seconds
    local hz process before
    hz=$(getconf CLK_TCK)
    process=$(qemu_process lab)
    before=$(awk '{ print $14 + $15 }' "/proc/$process/stat")
    sleep 3
    echo $((($(awk '{ print $14 + $15 }' "/proc/$process/stat") - before) * 1000 / (3 * hz)))
}
usage() { "$NB" show lab --json | jq .cpu_usage; }
works() { sleep 3 && [ "$(usage)" -gt 0 ]; }
within 20 works || fail 'a VM that computes uses nothing'
[ -z "$(group)" ] || fail 'a VM without limits has a control group'
say "it uses $(usage) per cent of the host"
nb set lab --cpu-maximum 20
if grep -q 'not in force' "$work/said"; then
    [ -n "$("$NB" show lab --json | jq -r .limits_note)" ] || fail 'show does not say that the limit is not in force'
    is lab Running || fail 'the VM does not run'
    nb set lab --cpu-maximum 100
    skip "no control groups for CPUs: $(<"$work/said")"
fi
[ -n "$(group)" ] || fail 'it has no control group'
got=$(per_mille)
say "with 20 per cent of one CPU it uses $got thousandths"
[ "$got" -le 230 ] || fail 'the limit does not hold'
nb set lab --cpu-maximum 100 --cpu-weight 50 --cpu-reserve 10
kill -9 "$(worker lab)"
nb set lab --cpu-maximum 10
got=$(per_mille)
say "with 10 per cent, by another worker, $got thousandths"
[ "$got" -le 130 ] || fail 'the limit does not hold'
nb stop lab --turn-off
[ -z "$(find /sys/fs/cgroup -maxdepth 3 -name "nestbox-$("$NB" show lab --json | jq -r .id)" 2>/dev/null)" ] ||
    fail 'the control group stays'
nb start lab
limited() { [ -n "$(group)" ]; }
within 5 limited || fail 'the next start has no limits'
got=$(per_mille)
[ "$got" -le 130 ] || fail "the limit does not hold at the next start: $got thousandths"
nb stop lab --turn-off
say 'the next start has the same'
