#!/bin/bash
# Memory of a guest that runs, an installed Debian: static memory grows beyond what it was started with and shrinks, is
# saved so and found again; dynamic memory follows what the guest uses, and grows where the guest says nothing any more.
# more cases: first second
# limit: 1200
set -u
. "$(dirname "$0")/lib.sh"

[ -e build/disk/test.raw ] || skip 'no build/disk/test.raw: see tools/test.sh'
NESTBOX=$NB WORK=$work
eval "$(sed -n '/^agent_[a-z]*()/,/^}/p' tests/cli/lib.sh)"
agent_disk "$work/disk.raw"
generation=$([ "${1:-second}" = first ] && echo 1 || echo 2)
nb create lab --generation "$generation" --memory 512M --memory-cap 2G --accel engine --disk "$work/disk.raw"
answers() { "$NB" start lab --wait --timeout 450 2>"$work/said" || fail "the guest does not answer: $(<"$work/said")"; }
total() { nb exec lab -- awk '/MemTotal/ { print int($2 / 1024) }' /proc/meminfo; } # MiB that the guest has
between() { [ "$(total)" -ge "$1" ] && [ "$(total)" -le "$2" ]; }
available_now() { nb exec lab -- awk '/MemAvailable/ { print int($2 / 1024) }' /proc/meminfo; }
fewer() { [ "$(available_now)" -lt "$1" ]; }
has() { [ "$(($("$NB" show lab --json | jq .memory) >> 20))" = "$1" ]; }
nb start lab
answers
before=$(total)
say "the guest answers, and has $before MiB"
refused 'more memory than its cap' set lab --memory 3G
nb set lab --memory 1G
within 20 between $((before + 480)) $((before + 520)) || fail "with 1G it has $(total) MiB: $(<"$work/said")"
within 10 has 1024 || fail "show has $("$NB" show lab --json | jq .memory)"
nb exec lab -- sh -c 'head -c 700M /dev/zero >/dev/shm/x; rm /dev/shm/x; echo here >/tmp/mark'
say 'memory was added'
nb save lab
nb start lab
answers
[ "$(nb exec lab -- cat /tmp/mark)" = here ] || fail 'it is another after it was saved'
between $((before + 480)) $((before + 520)) || fail "after it was saved it has $(total) MiB"
nb set lab --memory 1536M
within 20 between $((before + 980)) $((before + 1040)) || fail "with 1536M it has $(total) MiB"
say 'saved, started, and more was added'
nb set lab --memory 512M
say "512M: $(<"$work/said")"
within 30 between $((before - 60)) $((before + 400)) || fail "with 512M it has $(total) MiB"
available=$(available_now)
nb set lab --memory 384M
within 30 fewer $((available - 80)) || fail "with 384M the guest can use $(available_now) MiB, before $available"
nb stop lab --turn-off
say 'memory was taken'

nb set lab --memory 512M --memory-cap 0 --dynamic-memory on --memory-minimum 256M --memory-maximum 1536M
nb start lab
answers
status() { "$NB" show lab --json | jq -r '.memory_status // "none"'; }
known() { [ "$(status)" != none ]; }
within 30 known || fail 'there is no status'
say "dynamic: $("$NB" show lab --json | jq -c '[.memory, .memory_demand, .memory_status]')"
nb exec lab -- sh -c 'mount -o remount,size=2G /dev/shm; head -c 200M /dev/urandom >/dev/shm/x'
used() { echo $(($("$NB" show lab --json | jq .memory) >> 20)); }
more() { [ "$(used)" -gt "$1" ]; }
less() { [ "$(used)" -lt "$1" ]; }
first=$(used)
nb exec lab -- sh -c 'head -c 150M /dev/urandom >/dev/shm/y; sleep 6; head -c 150M /dev/urandom >/dev/shm/z'
within 40 more 620 || fail "a guest that uses 500 MiB more has $(used), before $first"
say "with 500 MiB in use it has $(used) MiB"
nb exec lab -- rm /dev/shm/x /dev/shm/y /dev/shm/z
within 60 less 520 || fail "a guest that needs no more has $(used) MiB"
say "afterwards $(used) MiB"
# A guest that says nothing any more, as one does that is very short of memory.
nb exec lab -- modprobe -r virtio_balloon
within 60 more 700 || fail "a guest that fell silent has $(used) MiB"
[ "$(status)" = Warning ] || fail "the status of a guest that fell silent is $(status)"
nb exec lab -- modprobe virtio_balloon
within 60 less 520 || fail "a guest that says again what it needs has $(used) MiB"
[ "$(status)" = OK ] || fail "the status of a guest that says again what it needs is $(status)"
say "silent for a while, afterwards $(used) MiB"
nb save lab
nb start lab
answers
nb stop lab --turn-off
