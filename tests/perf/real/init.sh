#!/bin/bash
# /init of L1 and L2 of `make bench-real`: runs programs by run.sh and powers off.
# Command line: nb.level=L1, nb.runs=N, nb.programs=NAME,NAME (L1's), nb.l2=NAME,NAME (L2's; without it there is no L2),
# nb.cpu=intel or amd, nb.l2memory=SIZE, nb.jobs=N (programs so many times beside each other).
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs -o size=90% tmp /tmp && chmod 1777 /tmp
mkdir -p /dev/shm && mount -t tmpfs shm /dev/shm
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
ip link set lo up
echo 3 >/proc/sys/kernel/printk
arg() { sed -n "s/.*nb\.$1=\([^ ]*\).*/\1/p" /proc/cmdline; }
level=$(arg level)
echo "NB $level up $(cut -d' ' -f1 /proc/uptime)"
programs=$(arg programs | tr , ' ')
# Beside each other, each with files of its own: a first time, and then measured.
beside() { # RUNS
    for ((job = 0; job < $(arg jobs); job++)); do
        # shellcheck disable=SC2086
        unshare --mount bash -c 'mount -t tmpfs tmp /tmp && exec /real/own/run.sh "$@"' - "$level" "$1" $programs \
            >"/run/job$job" &
    done
    wait
    cat /run/job*
}
if [ -n "$(arg jobs)" ]; then
    beside 0
    begin=${EPOCHREALTIME/./}
    beside 1
    echo "NB $level jobs $((${EPOCHREALTIME/./} - begin))"
    programs=
fi
# shellcheck disable=SC2086
[ -z "$programs" ] || /real/own/run.sh "$level" "$(arg runs)" $programs
if [ -n "$(arg l2)" ]; then
    other=kvm_amd.ko
    [ "$(arg cpu)" = amd ] && other=kvm_intel.ko
    while read -r module; do
        [ "$module" = "$other" ] || busybox insmod "/real/own/modules/$module" 2>/dev/null
    done </real/own/modules/order
    rm -rf /tmp/*
    (cd / && find . -xdev -path ./real/own/modules -prune -o -print | cpio --quiet -o -H newc >/tmp/tree.cpio)
    LD_LIBRARY_PATH=/real/own/lib /real/own/nestbox run --accel kvm --kernel /real/own/vmlinuz --initrd /tmp/tree.cpio \
        --memory "$(arg l2memory)" --no-reboot --timeout 3000 --append "console=ttyS0 panic=-1 quiet \
        nb.level=L2 nb.runs=$(arg runs) nb.programs=$(arg l2)" </dev/null
    echo "NB $level l2 exit $?"
fi
echo "NB $level done $(cut -d' ' -f1 /proc/uptime)"
busybox poweroff -f
sleep 60
