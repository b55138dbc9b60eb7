#!/bin/bash
# The package and its units under a real systemd: a Debian that runs as a VM gets the package and a VM that is to start
# with its host, and restarts; that VM is saved when it goes down and goes on when it comes up. Limits of CPUs are in
# force there, too, by control groups of version 2.
# more cases: boot
# limit: 1500
cd "$(dirname "$0")/../.." || exit 1
source tests/cli/lib.sh
[ -e build/disk/l1.qcow2 ] || { echo 'no build/disk/l1.qcow2: see tools/test-disks.sh nested' && exit 77; }
for tool in qemu-system-x86_64 qemu-img jq debugfs dpkg-deb apt-get; do
    command -v $tool >/dev/null || { echo "$tool is missing" && exit 77; }
done
export NESTBOX_HOME=$WORK/home
unset XDG_RUNTIME_DIR
nb() { timeout "${LIMIT:-200}" "$NESTBOX" "$@"; }
trap 'LIMIT=30 nb stop l1 --turn-off >/dev/null 2>&1; rm -rf "$WORK"' EXIT
in_l1() { nb exec l1 -- sh -c "$1" </dev/null 2>"$WORK/err"; }
within() { # SECONDS COMMAND...
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 1
    done
}

tools/deb.sh "$WORK/deb" >"$WORK/deb.log" 2>&1 || { cat "$WORK/deb.log" && exit 1; }
deb=$(echo "$WORK"/deb/*.deb)
libraries=$(dpkg-deb -f "$deb" Depends | tr ',' '\n' | sed 's/ *(.*//; s/^ *//' | grep -v '^libc6$')
# shellcheck disable=SC2086
(cd "$WORK/deb" && apt-get -q download $libraries libbsd0 libmd0) >"$WORK/apt" 2>&1 ||
    { echo "no packages: $(tail -n 1 "$WORK/apt")" && exit 77; }

qemu-img convert -O raw build/disk/l1.qcow2 "$WORK/l1.raw" || exit 1
agent_files "$WORK/l1.raw"
gcc -m32 -c -o "$WORK/counter.o" tests/manager/counter.S &&
    ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o "$WORK/counter.raw" "$WORK/counter.o" || exit 1
truncate -s 1M "$WORK/counter.raw"

nb create l1 --generation 1 --memory 1G --cpus 2 --accel engine --display none --disk "$WORK/l1.raw" || exit 1
LIMIT=700 nb start l1 --wait --timeout 650 2>"$WORK/err" || { cat "$WORK/err" && exit 1; }
check 'packages get there' nb copy -r "$WORK/deb" l1:/root/deb
nb copy "$WORK/counter.raw" l1:/root/counter.raw
check 'the package is installed' in_l1 'dpkg -i /root/deb/*.deb >/root/dpkg 2>&1 ||
    { tail -n 5 /root/dpkg >&2 && exit 1; }'
check 'its unit is enabled' [ "$(in_l1 'systemctl is-enabled nestbox-vms.service')" = enabled ]
check 'and runs' [ "$(in_l1 'systemctl is-active nestbox-vms.service')" = active ]
check 'a VM in it' in_l1 'nestbox create small --generation 1 --memory 64M --accel engine --display none \
    --base /root/counter.raw --auto-start start --cpu-maximum 40'
check 'starts' in_l1 'nestbox start small'
count() { in_l1 'nestbox console small --print' | tr -d '\r' | sed -n 's/^count \([0-9]*\)$/\1/p' | tail -n 1; }
counts() { [ "$(count)" -gt "$1" ] 2>/dev/null; }
check 'and counts' within 60 counts 20
limits=$(in_l1 'cat /sys/fs/cgroup/nestbox-*/cpu.max')
check 'its limit is in force' [ "$limits" = '40000 100000' ]
check 'nothing is said of limits' [ "$(in_l1 'nestbox show small --json' | jq -r '.limits_note // ""')" = '' ]
check 'QEMU is no root there' [ "$(in_l1 'stat -c %u /proc/$(pgrep -f "^qemu-system.*guest=small")')" -gt 1879048191 ]
at=$(count)
boot=$(in_l1 'cat /proc/sys/kernel/random/boot_id')
nb exec l1 -- systemctl reboot </dev/null >/dev/null 2>&1
came() { local now; now=$(in_l1 'cat /proc/sys/kernel/random/boot_id') && [ "$now" != "$boot" ]; }
check 'it comes up again' within 600 came
check 'the VM runs again by itself' within 120 counts "$at"
check 'it was saved' in_l1 'nestbox logs small | grep -q Saved'
check 'the package goes without a trace' in_l1 'nestbox stop small --turn-off && nestbox delete small --force &&
    dpkg --purge nestbox >/root/dpkg 2>&1 && ! ls /var/lib/nestbox /run/nestbox /usr/lib/nestbox 2>/dev/null'
finish
