#!/bin/bash
# What a VM has used, over restarts of the VM and of its worker; reset; switched off.
set -u
. "$(dirname "$0")/lib.sh"

counter_disk "$work/counter.raw"
nb create lab --generation 1 --memory 64M --accel engine --disk "$work/counter.raw"
nb switch create lan
nb nic add lab --switch lan >/dev/null
refused 'is not metered' meter lab
nb set lab --metering on
value() { "$NB" meter lab --json | jq "$1"; }
[ "$(value .cpu_ms)" = 0 ] || [ "$(value .cpu_ms)" = null ] || fail 'a VM that never ran has used something'
nb start lab
within 20 counts lab 5 || fail 'it does not count'
sleep 3
value '.cpu_ms, .seconds, .memory_average, .disks.disk0.rd_bytes' >/dev/null
first=$(value .cpu_ms)
[ "$first" -gt 0 ] || fail 'it has used no CPU time'
[ "$(value .disks.disk0.rd_bytes)" -gt 0 ] || fail 'it has read nothing'
[ "$(value .memory_maximum)" = $((64 << 20)) ] || fail "its memory is $(value .memory_maximum)"
[ "$(value '.nics.nic0.in_bytes')" != null ] || fail 'its card is not there'
nb meter lab | grep -q 'CPU  ' || fail 'nothing for people'
"$NB" show lab | grep -q "uses        CPU .*memory 64.0 MiB" || fail "show has no use"
"$NB" stats lab | grep -q "CPU use" || fail "stats has no use"
say "$(nb meter lab | head -n 3 | paste -sd' ')"
kill -9 "$(worker lab)"
has_first() { [ "$("$NB" meter lab --json | jq .cpu_ms)" -ge "$first" ]; }
within 10 has_first || fail 'another worker has less'
before=$(value .cpu_ms)
nb stop lab --turn-off
[ "$(value .cpu_ms)" -ge "$before" ] || fail 'a VM that is off has less'
nb start lab
within 20 counts lab 5 || fail 'it does not count again'
[ "$(value .cpu_ms)" -gt "$before" ] || fail 'the next start begins at 0'
say 'another worker and another start go on'
[ "$(nb meter lab --reset --json | jq .cpu_ms)" -gt "$before" ] || fail 'a reset does not print what was'
[ "$(value .cpu_ms)" -lt "$before" ] || fail "after a reset there is $(value .cpu_ms)"
nb set lab --metering off
refused 'is not metered' meter lab
nb stop lab --turn-off
say 'reset, and off'
