#!/bin/bash
# A Debian that writes checksummed pages all the time (pages.c) is saved and goes on elsewhere: by savevm and loadvm, by
# migration to a file and from it, and alive between two QEMUs over a socket, by the dirty log or by dirty rings.
# usage: migrate.sh WAY-VENDOR-CPUS [TIMES]
# more cases: socket-amd-2
# more cases: snapshot-intel-1 snapshot-amd-2 file-intel-2 file-amd-1 socket-intel-1 ring-intel-2 ring-amd-1
set -u
IFS=- read -r way VENDOR cpus <<<"$1"
. "$(dirname "$0")/lib.sh"
times=${2:-2}

overlay d0
rings=
[ "$way" = ring ] && rings=dirty-ring-size=4096
start() { # NAME ARGUMENT...
    # shellcheck disable=SC2046
    qemu "$1" $(accelerator $rings) -machine q35 -smp "$cpus" -m 768M -no-reboot $(disk virtio-blk "$work/d0.qcow2") \
        -netdev user,id=n0 -device virtio-net-pci,netdev=n0 "${@:2}"
}

start vm0
grep -q 'dirty ring' "$work/vm0.err" && fail 'QEMU does without the ring'
logged_in vm0 300
say 'logged in'
pages_start vm0 "$cpus" 48
vm=vm0
for ((n = 1; n <= times; n++)); do
    if [ "$way" = snapshot ]; then
        guest $vm "echo $n >/var/tmp/before; sync"
        hmp $vm 'savevm one' || fail savevm
        guest $vm "echo $n >/var/tmp/after; sync; ls /var/tmp/after" || fail 'no file'
        hmp $vm 'loadvm one' || fail loadvm
        # What the guest wrote after the state was saved must be gone, the shell's answer to that command as well.
        types $vm ''
        [ "$(guest $vm 'cat /var/tmp/before')" = "$n" ] || fail 'a file from before is missing'
        guest $vm '[ ! -e /var/tmp/after ]' || fail 'a file from afterwards is there'
        hmp $vm 'delvm one' || fail delvm
    else
        carried "$way" $vm vm$n start
        vm=vm$n
    fi
    pages_right $vm
    say "$way $n of $times: the pages are right"
done
pages_end $vm "$cpus"
complaints $vm && fail 'the kernel complains'
types $vm poweroff
ends $vm 0
