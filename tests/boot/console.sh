#!/bin/bash
# Linux at a terminal: a long paste arrives whole, Ctrl-a b is SysRq, Ctrl-a n an NMI; a second serial port is found.
cd "$(dirname "$0")/../.." || exit 1
nestbox=${NB:-build/release/nestbox}
[ -e build/debs/vmlinuz ] || { echo 'no kernel'; exit 77; }
busybox=$(command -v busybox) || { echo 'no busybox'; exit 77; }
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
${CC:-gcc} -std=gnu17 -O1 -D_GNU_SOURCE -Wall -Wextra -o "$work/pty" tests/cli/pty.c || exit 1

mkdir -p "$work/root/bin" "$work/root/proc" "$work/root/dev" "$work/root/tmp"
cp "$busybox" "$work/root/bin/busybox"
cat >"$work/root/init" <<'END'
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
exec </dev/ttyS0 >/dev/ttyS0 2>&1
/bin/busybox stty -echo
echo PASTE
/bin/busybox cat >/tmp/pasted
echo "SUM $(/bin/busybox md5sum </tmp/pasted)"
/bin/busybox sleep 100
END
chmod +x "$work/root/init"
(cd "$work/root" && find . | cpio -o -H newc 2>/dev/null) >"$work/initrd"
awk 'BEGIN { for (i = 0; i < 1900; i++) printf "%052d\n", i }' >"$work/text"
sum=$(md5sum <"$work/text")

"$work/pty" expect:'ttyS1 at I/O 0x2f8 (irq = 3' expect:PASTE paste:"$work/text" send:$'\004' expect:"SUM $sum" \
    send:$'\001b' pause:300 send:h expect:'sysrq: HELP' send:$'\001n' expect:'Uhhuh. NMI received' send:$'\001x' -- \
    "$nestbox" run --accel engine --memory 256M --kernel build/debs/vmlinuz --initrd "$work/initrd" \
    --serial stdio --serial none --append 'console=ttyS0 rdinit=/init sysrq_always_enabled'
status=$?
echo
[ $status = 12 ] || { echo "FAILED: status $status"; exit 1; }
