#!/bin/bash
# Memory of a running VM is changed by its balloon, which a guest without a driver does not heed; a save, a start and a
# checkpoint still find the memory that the VM was started with.
set -u
. "$(dirname "$0")/lib.sh"

counter_disk "$work/counter.raw"
nb create lab --generation 1 --memory 128M --memory-cap 256M --accel engine --disk "$work/counter.raw"
nb start lab
within 20 counts lab 5 || fail 'it does not count'
refused 'more memory than its cap' set lab --memory 512M
nb set lab --memory-cap 0
refused 'was started with 128M of memory and gets no more than 256M' set lab --memory 512M
nb set lab --memory 64M
[ "$("$NB" show lab --json | jq .settings.memory)" = $((64 << 20)) ] || fail 'the definition has not changed'
nb checkpoint create lab --kind standard --name one >/dev/null
kill -9 "$(worker lab)"
nb save lab
nb start lab
within 5 counts lab 5 || fail 'it does not go on'
say 'saved by another worker, and started'
nb checkpoint apply lab one --force
nb start lab
within 5 counts lab 5 || fail 'it does not go on from the checkpoint'
nb stop lab --turn-off
nb start lab
within 20 counts lab 5 || fail 'it does not start'
refused 'was started with 64M of memory and gets no more than 1G' set lab --memory 2G
say 'the next start has the memory that it was given'
nb stop lab --turn-off

# Memory beyond 40 bits of addresses, which the guest does not touch. A saved VM goes on with it.
bits=$(sed -n 's/^address sizes.*: \([0-9]*\) bits physical.*/\1/p' /proc/cpuinfo | head -n 1)
if [ "$bits" -ge 42 ]; then
    nb set lab --memory 1T
    nb start lab
    within 20 counts lab 5 || fail 'it does not start with a TiB'
    say 'a TiB'
fi
