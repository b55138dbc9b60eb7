#!/bin/bash
# VMs that run and leave too little of the host's memory for another: which profile refuses its start, which warns, and
# what helps, for VMs that start and for saved ones that go on. Their guests use little of what they have, so the host
# carries all of them.
set -u
. "$(dirname "$0")/lib.sh"

counter_disk "$work/counter.raw"
total=$(($(getconf _PHYS_PAGES) * $(getconf PAGESIZE) >> 20)) # in MiB
part=$((total * 2 / 5 / 2 * 2)) # two of that fit, three do not
make_vm() { nb create "$1" --generation 1 --memory "${2}M" --accel engine --base "$work/counter.raw" --display none; }
for vm in one two three; do make_vm $vm $part; done
make_vm small 64
nb host set --profile ws2022
nb start one two
for vm in one two; do within 20 counts $vm 3 || fail "$vm does not count"; done
refused 'VM three has more memory than those that run leave it \(rule P11 of profile ws2022\); nestbox list' start three
must_be three Off
nb start small
within 20 counts small 3 || fail 'what is left is not given'
nb stop small --turn-off
say 'refused, and what fits is not'
nb stop one --turn-off
nb start three
within 20 counts three 3 || fail 'memory of a VM that ended is not given'
refused 'VM one has more memory than those that run leave it' start one
nb set one --memory 64M
nb start one
within 20 counts one 3 || fail 'with less memory it does not start'
nb stop two --turn-off
say 'what helps'
before=$(cut -d. -f1 /proc/uptime)
nb save three
[ $(($(cut -d. -f1 /proc/uptime) - before)) -lt $((20 * PATIENCE)) ] || fail 'memory that is empty is long in saving'
nb stop one --turn-off
nb set one --memory "${part}M"
nb start one two
refused 'VM three has more memory than those that run leave it \(rule P11 of profile ws2022\); nestbox list' start three
must_be three Saved
nb stop one --turn-off
nb start three
within 20 counts three 3 || fail 'the saved VM does not go on'
nb save three
nb start one
say 'a saved VM is refused, and goes on later'
nb host set --profile open
nb start three
grep -q 'VM three has more memory than those that run leave it (rule P11 of profile open)' "$work/said" ||
    fail "the open profile says $(<"$work/said") of a saved VM"
within 20 counts three 3 || fail 'the open profile refuses the saved VM'
nb stop two --turn-off
nb start two
grep -q 'VM two has more memory than those that run leave it (rule P11 of profile open)' "$work/said" ||
    fail "the open profile says $(<"$work/said")"
within 20 counts two 3 || fail 'the open profile refuses'
nb stop --all --turn-off
say 'and a warning under the open profile'
