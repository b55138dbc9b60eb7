#!/bin/bash
# The host unpacks Debian's kernel and starts it where the kernel's own code would: at a random place, at the usual one
# with nokaslr, with little and much memory. What the host is not to decide, or told not to, is left
# to the kernel's own code, which then says so on the serial port.
# cases: random nokaslr off limited la57 128M 5G smp
set -u
. "$(dirname "$0")/guest.sh"
which=${1:-random} memory=1G cpus=1
options=(--nested off --stats)
export XDG_CACHE_HOME=$work/cache # the first boot finds nothing there, the second one the kernel
case $which in
[0-9]*) memory=$which ;;
smp) cpus=2 ;;
esac
mkdir -p "$work/root"
cat >"$work/root/init" <<'INIT'
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
echo "NB place $(sed -n 's/^ *\([0-9a-f]*\)-[0-9a-f]* : Kernel code$/\1/p' /proc/iomem)" \
    "$(sed -n 's/ T _text$//p' /proc/kallsyms)"
echo "NB line $(cat /proc/cmdline)"
echo "NB flags $(busybox od -An -tu1 -j529 -N1 /sys/kernel/boot_params/data | tr -d ' ')"
echo "NB memory $(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo)"
grep -q -w la57 /proc/cpuinfo && echo 'NB la57'
echo "NB cpus $(nproc)"
poweroff -f
INIT
chmod +x "$work/root/init"
(cd "$work/root" && find . | cpio --quiet -o -H newc) >"$work/init.cpio"

# Prints where the kernel was, by physical and virtual address. earlyprintk: for what its own code says.
boot() { # words of the command line
    line="console=ttyS0 earlyprintk=ttyS0 panic=-1${*:+ $*}"
    "$NB" run --accel engine --kernel $kernel --initrd build/guest/l2.cpio --initrd "$work/init.cpio" --memory $memory \
        --cpus $cpus --no-reboot --timeout 300 "${options[@]}" --append "$line" </dev/null >"$log" 2>&1 ||
        fail "exit status $?"
    sed -i 's/\r*$//' "$log"
    expect "NB cpus $cpus"
    expect "NB line $line"
    quiet_dmesg
    place=$(sed -n 's/^NB place //p' "$log")
    [ -n "$place" ] || fail 'no place'
}
# --stats says who unpacked it.
by() {
    expect "^kernel unpacked by *$1\$"
}
usual='01000000 ffffffff81000000'
case $which in
random | smp | [0-9]*)
    boot
    by 'the host'
    first=$place
    [ "$(find "$XDG_CACHE_HOME" -type f | wc -l)" = 1 ] || fail "nothing is kept"
    boot
    by 'the host'
    [ "$place" != "$first" ] || fail "twice at $place"
    [ "$place" != "$usual" ] || fail 'at the usual place'
    [[ $place =~ ^[0-9a-f]+[02468ace]00000\ ffffffff[8-b][0-9a-f][02468ace]00000$ ]] || fail "at $place"
    expect "NB flags 3" # LOADED_HIGH and KASLR_FLAG
    ;;
nokaslr)
    boot nokaslr
    by 'the host'
    [ "$place" = "$usual" ] || fail "at $place"
    expect 'NB flags 1'
    ;;
off)
    options+=(--unpack off)
    boot
    by itself
    expect 'NB flags 3'
    boot nokaslr
    by itself
    [ "$place" = "$usual" ] || fail "at $place"
    expect 'NB flags 1'
    ;;
limited) # which memory there is, is the kernel's to find out
    boot mem=512M
    by itself
    [ "$(sed -n 's/^NB memory //p' "$log")" -lt $((512 << 10)) ] || fail 'mem= has no effect'
    boot mem=512M nokaslr
    by 'the host'
    [ "$place" = "$usual" ] || fail "at $place"
    ;;
la57) # is turned on by the kernel's own code, before the kernel
    options+=(--cpu 'max,+la57')
    boot
    by itself
    expect 'NB la57'
    ;;
esac
