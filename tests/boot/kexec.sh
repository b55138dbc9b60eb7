#!/bin/bash
# Linux starts another kernel by kexec, which has a crash kernel and crashes: started by the host, unpacked and at a
# random place, and by its own code.
# cases: unpacked itself
set -u
. "$(dirname "$0")/guest.sh"
options=(--stats)
[ "${1:-unpacked}" = unpacked ] || options+=(--unpack off)
init_from "$(dirname "$0")/kexec.c"
# What the kernels that follow have: /init and the kernel; the second one has the third one's image, too.
cp $kernel "$work/root/vmlinuz"
for _ in 1 2; do
    rm "$work/root/dev/console"
    pack_root
    cp "$initrd" "$work/root/initrd"
done
rm "$work/root/dev/console"
pack_root
"$NB" run --accel engine --kernel $kernel --initrd "$initrd" --memory 1536M --no-reboot --timeout 300 "${options[@]}" \
    --append 'console=ttyS0 panic=-1 crashkernel=192M' </dev/null >"$log" 2>&1 || fail "exit status $?"
sed -i 's/\r*$//' "$log"
expect 'NB first kernel'
expect 'NB second kernel'
[ "$(grep -c 'NB /proc/iomem: .*Crash kernel' "$log")" = 2 ] || fail 'no memory for a crash kernel'
expect 'NB crash kernel, with memory of the old one'
case ${1:-unpacked} in
itself) expect '^kernel unpacked by *itself$' ;;
*) expect '^kernel unpacked by *the host$' ;;
esac
