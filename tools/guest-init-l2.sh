#!/bin/sh
# /init of L2: says what it is, does a piece of work that L0 checks, and powers off.
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
arg() { sed -n "s/.*nb\.$1=\([^ ]*\).*/\1/p" /proc/cmdline; }
level=$(arg level | grep . || echo 2)
say() { echo "NB L$level $*"; }

say up "$(cut -d' ' -f1 /proc/uptime)"
say kernel "$(uname -sr)"
say cpus "$(nproc)"
say vendor "$(sed -n 's/^vendor_id[^:]*: //p' /proc/cpuinfo | head -n 1)"
say hypervisor "$(dmesg | sed -n 's/.*Hypervisor detected: //p' | head -n 1)"
[ "$(arg mode)" != hang ] || exec sleep 1000
if [ "$(arg mode)" = bench ]; then
    loops all | sed 's/^/NB L2 bench /'
    loops cpuid | sed 's/^/NB L2 bench /'
else
    say sha256 "$(seq 1 20000 | sed "s/\$/ $(arg nonce)/" | sha256sum | cut -d' ' -f1)"
fi
dmesg | grep -E 'WARNING:|BUG:|Oops|\<stalls?\>|soft lockup|Call Trace|unchecked MSR' |
    head -n 5 | sed "s/^/NB L$level dmesg /"
say "done"
poweroff -f
sleep 60
