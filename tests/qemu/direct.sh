#!/bin/bash
# An installed Debian whose user code the host's CPU executes (docs/direct.md), as much as can be: its disk keeps what
# is written; programs that write and check memory go on through savevm and loadvm, live migration and a state in a
# file. Then QEMU's own memory, which is private, and a sandbox that allows processes.
# usage: direct.sh VENDOR
# cases: intel
# more cases: amd
set -u
VENDOR=${1:-intel}
. "$(dirname "$0")/lib.sh"
"$NB" doctor | grep -q '^  --direct       works' || skip 'no direct execution here: see nestbox doctor'
program=("$NB" kvm --accel engine --nested "$VENDOR" --direct on --stats "$work/stats" -- qemu-system-x86_64)

# Prints a counter, added up over all vCPUs that ended so far.
counted() {
    grep -o "direct_$1 [0-9]*" "$work/stats" 2>/dev/null | awk '{n += $2} END {print n + 0}'
}
start() { # NAME ARGUMENT...
    # shellcheck disable=SC2046
    qemu "$1" $(accelerator) -machine q35,memory-backend=m -object memory-backend-memfd,id=m,size=640M,share=on -smp 2 \
        -m 640M -no-reboot $(disk virtio-blk "$work/d0.qcow2") "${@:2}"
}

overlay d0
start vm
logged_in vm 300
say 'logged in'
verified_writes vm /var/tmp/v 24M || fail 'fio found a wrong block'
say 'the disk kept 24 MiB of random writes'
pages_start vm 2 24
hmp vm savevm one || fail 'savevm'
pages_right vm
hmp vm loadvm one || fail 'loadvm'
pages_right vm
say 'savevm and loadvm'
carried live vm next start
pages_right next
carried file next last start
pages_right last
pages_end last 2
say 'live migration, and a state in a file'
! complaints last || fail 'the kernel complains'
guest last 'python3 -c "print(sum(i * i for i in range(300000)))"' | grep -q '^8999955000050000$' || fail 'python'
types last ' poweroff'
ends last 0 120
say "system calls of processes: $(counted syscalls), page faults: $(counted page_faults)"
[ "$(counted syscalls)" -gt 1000 ] || fail 'hardly any code was executed directly'

# Private memory: all is translated, which the counters say; and QEMU's sandbox, where processes are allowed.
rm "$work/stats"
small private 'quiet' $(accelerator) -m 256M
guest private 'seq 1 20000 | sha256sum' | grep -q . || fail 'no program runs in private memory'
types private ' poweroff -f'
ends private 0 60
[ "$(counted syscalls)" = 0 ] || fail 'private memory was mapped'
program=("$NB" qemu --accel engine --nested "$VENDOR" --direct on --stats "$work/stats" --)
small sandbox 'quiet' $(accelerator) -m 256M -sandbox on,elevateprivileges=deny,resourcecontrol=deny
guest sandbox 'for i in $(seq 300); do true; done; seq 1 20000 | sha256sum' | grep -q . || fail 'sandbox'
types sandbox ' poweroff -f'
ends sandbox 0 60
[ "$(counted syscalls)" -gt 100 ] || fail 'nestbox qemu: no shared memory, or no processes'
echo 'direct execution under QEMU works'
