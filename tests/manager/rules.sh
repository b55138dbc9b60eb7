#!/bin/bash
# Rules of Hyper-V hosts that depend on a hypervisor which runs in the VM, with a Debian that runs an L2: dynamic memory
# stands still (R7), no memory changes (R8), no checkpoint is applied (R13); and all of it works once L2 has gone.
# more cases: intel amd
# limit: 1200
set -u
. "$(dirname "$0")/lib.sh"

[ -e build/disk/test.raw ] || skip 'no build/disk/test.raw: see tools/test.sh'
NESTBOX=$NB WORK=$work vendor=${1:-intel}
eval "$(sed -n '/^agent_[a-z]*()/,/^}/p' tests/cli/lib.sh)"
agent_disk "$work/disk.raw"
${CC:-gcc} -O2 -static -o "$work/l2" tests/manager/l2.c || fail 'l2'
nb host set --profile ws2019
nb create lab --generation 2 --memory 512M --dynamic-memory on --memory-minimum 384M --memory-maximum 1G \
    --accel engine --nested "$vendor" --disk "$work/disk.raw" --display none
"$NB" start lab --wait --timeout 550 2>"$work/said" || fail "the guest does not answer: $(<"$work/said")"
assigned() { "$NB" show lab --json | jq .memory; }
active() { [ "$("$NB" show lab --json | jq .hypervisor_active)" = "$1" ]; }
moved() { [ "$(assigned)" != "$1" ]; }
within 60 moved $((512 << 20)) || fail 'dynamic memory does not move'
nb checkpoint create lab --name one --kind standard >/dev/null
say "dynamic memory has moved to $(($(assigned) >> 20)) MiB"

nb copy "$work/l2" lab:/root/l2
nb exec lab -- modprobe "kvm_$vendor"
nb exec lab -- sh -c 'setsid /root/l2 </dev/null >/root/log 2>&1 &'
within 60 active true || fail 'no hypervisor is seen'
sleep 5
was=$(assigned)
refused 'a hypervisor runs in VM lab, so its memory can change only while it is off' set lab --memory-maximum 2G
nb exec lab -- sh -c 'head -c 120M /dev/zero >/dev/shm/x'
sleep 15
[ "$(assigned)" = "$was" ] || fail "its memory moves: $was, then $(assigned)"
nb exec lab -- rm /dev/shm/x
nb host set --profile ws2016
refused 'a hypervisor runs in VM lab, so no checkpoint can be applied' checkpoint apply lab one --force
nb host set --profile ws2019
active true || fail 'the hypervisor has gone'
say 'a hypervisor runs: R7, R13'

nb exec lab -- sh -c 'pkill -x l2; sleep 1; modprobe -r "kvm_'"$vendor"'"'
within 60 active false || fail 'a hypervisor is still seen'
nb set lab --memory-maximum 2G
nb exec lab -- sh -c 'head -c 180M /dev/zero >/dev/shm/x'
within 60 moved "$was" || fail 'its memory does not move again'
nb host set --profile ws2016
"$NB" checkpoint apply lab one --force 2>"$work/said" || fail "no checkpoint is applied: $(<"$work/said")"
say 'none runs: memory moves, a checkpoint is applied'

# Static memory: R8.
nb host set --profile open
nb stop lab --turn-off 2>/dev/null
nb set lab --dynamic-memory off
nb host set --profile ws2019
"$NB" start lab --wait --timeout 550 2>"$work/said" || fail "the guest does not answer: $(<"$work/said")"
nb copy "$work/l2" lab:/root/l2 # the checkpoint is older
nb exec lab -- modprobe "kvm_$vendor"
nb exec lab -- sh -c 'setsid /root/l2 </dev/null >/root/log 2>&1 &'
within 60 active true || fail 'no hypervisor is seen'
refused 'a hypervisor runs in VM lab, so its memory cannot be resized' set lab --memory 768M
say 'R8'
