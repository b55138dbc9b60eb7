#!/bin/bash
# What is done to a running Debian from outside of it: a picture of its screen, stop and cont, a balloon, a TPM, reboot
# from within, reset, and the power button.
# usage: power.sh MACHINE-VENDOR
# more cases: q35-intel
# more cases: pc-amd
set -u
VENDOR=${1#*-}
. "$(dirname "$0")/lib.sh"
machine=${1%-*}
command -v swtpm >/dev/null || skip 'swtpm is missing'

mkdir "$work/tpm"
swtpm socket --tpm2 --tpmstate dir="$work/tpm" --ctrl type=unixio,path="$work/tpm.sock" >"$work/swtpm.err" 2>&1 &
process[swtpm]=$!
overlay d0
case $machine in q35) tpm='tpm-crb' ;; *) tpm='tpm-tis' ;; esac
# shellcheck disable=SC2046
qemu vm $(accelerator) -machine "$machine" -smp 2 -m 768M -vga std -action reboot=reset \
    $(disk virtio-blk "$work/d0.qcow2") -chardev "socket,id=tpm,path=$work/tpm.sock" \
    -tpmdev emulator,id=tpm0,chardev=tpm -device $tpm,tpmdev=tpm0 -device virtio-balloon-pci,id=balloon0
logged_in vm 300
say 'logged in'

hmp vm "screendump $work/screen.ppm" || fail 'screendump'
[ "$(head -c 2 "$work/screen.ppm")" = P6 ] || fail 'the picture is no PPM file'
colours=$(tail -c +20 "$work/screen.ppm" | od -An -v -w3 -tx1 | sort | uniq -c | awk '$1 > 100' | wc -l)
[ "$colours" -ge 2 ] || fail 'the picture has one colour'
guest vm 'cat /dev/vcsa1 >/dev/null && grep -qa login /dev/vcs1' || fail 'no login on the screen'
say "screendump: $(wc -c <"$work/screen.ppm") bytes"

[ "$(guest vm 'cat /sys/class/tpm/tpm0/tpm_version_major')" = 2 ] || fail 'no TPM 2.0'
guest vm 'modprobe tpm_crb 2>/dev/null; cat /sys/class/tpm/tpm0/pcr-sha256/0 | grep -v "^0*$"' ||
    fail 'the firmware has measured nothing'
say 'TPM'

types vm 'cat /proc/uptime; sleep 2; echo DO"NE"'
sees vm 'DONE' 20
qmp vm stop >/dev/null || fail stop
[[ $(qmp vm query-status) == *'"paused"'* ]] || fail 'not paused'
size=$(wc -c <"$work/vm.serial.log")
types vm 'echo NOT"-NOW"'
sleep 2
[ "$(wc -c <"$work/vm.serial.log")" = "$size" ] || fail 'a stopped guest writes'
qmp vm cont >/dev/null || fail cont
sees vm NOT-NOW 30
[ "$(guest vm 'echo goes on')" = 'goes on' ] || fail 'does not go on'
say 'stop, cont'

before=$(guest vm "sed -n 's/MemFree: *\([0-9]*\).*/\1/p' /proc/meminfo")
hmp vm 'balloon 512' >/dev/null
for _ in {1..60}; do
    actual=$(qmp vm query-balloon | sed -n 's/.*"actual": \([0-9]*\).*/\1/p')
    [ "$actual" = $((512 << 20)) ] && break
    sleep 1
done
[ "$actual" = $((512 << 20)) ] || fail "the balloon leaves $actual bytes"
after=$(guest vm "sed -n 's/MemFree: *\([0-9]*\).*/\1/p' /proc/meminfo")
[ $((before - after)) -gt $((150 << 10)) ] || fail "free memory went from $before to $after kB"
hmp vm 'balloon 768' >/dev/null
say 'balloon'

id=$(guest vm 'cat /proc/sys/kernel/random/boot_id')
types vm reboot
event vm RESET 120
logged_in vm 300
new=$(guest vm 'cat /proc/sys/kernel/random/boot_id')
[ "$id" != "$new" ] || fail 'it was not a new start'
say 'reboot'
qmp vm system_reset >/dev/null || fail system_reset
event vm RESET 30
logged_in vm 300
[ "$(guest vm 'cat /proc/sys/kernel/random/boot_id')" != "$new" ] || fail 'it was not a new start'
say 'system_reset'
complaints vm && fail 'the kernel complains'
qmp vm system_powerdown >/dev/null || fail system_powerdown
ends vm 0 120
say 'power button'
