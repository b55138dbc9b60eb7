#!/bin/bash
# A VM of the manager whose user code the host's CPU executes (docs/direct.md), with QEMU confined as ever: programs run
# in processes of QEMU, and again after the VM was saved.
# more cases: on
# limit: 900
set -u
. "$(dirname "$0")/lib.sh"
"$NB" doctor | grep -q '^  --direct       works' || skip 'no direct execution here: see nestbox doctor'
[ -e build/disk/test.raw ] || skip 'no build/disk/test.raw: see tools/test.sh'
NESTBOX=$NB WORK=$work
eval "$(sed -n '/^agent_[a-z]*()/,/^}/p' tests/cli/lib.sh)"
agent_disk "$work/disk.raw"
nb create lab --generation 1 --memory 512M --accel engine --direct on --disk "$work/disk.raw"
computes() {
    nb start lab
    "$NB" start lab --wait --timeout 500 2>/dev/null || fail 'no agent answers'
    nb exec lab -- python3 -c 'print(sum(i * i for i in range(300000)))' | grep -qx 8999955000050000 ||
        fail 'a wrong sum'
    [ "$(cat "/proc/$(qemu_process lab)"/task/*/children | wc -w)" -gt 1 ] || fail 'it has no processes'
    grep -q '^Seccomp:.2' "/proc/$(qemu_process lab)/status" || fail 'it has all system calls'
}
computes
nb save lab
computes
