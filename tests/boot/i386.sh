#!/bin/bash
# Debian's 32-bit kernels, with two and three levels of paging, to the end of a 32-bit user space's work.
# cases: 686 686-smp 686-pae 686-pae-smp
set -u
. "$(dirname "$0")/guest.sh"
. "$(dirname "$0")/package.sh"
which=${1:-686}
flavour=${which%-smp}
cpus=1
[ "$flavour" = "$which" ] || cpus=2
package=$(kernel_package "$flavour" i386) || { echo "apt knows no kernel $flavour for i386"; exit 77; }
unpack "$package" i386
unpack busybox-static i386

nonce=i386$$
root=$work/root
mkdir -p "$root"/bin "$root"/dev "$root"/proc "$root"/sys "$root"/tmp
cp "$packages"/busybox-static/bin/busybox "$root/bin/"
for tool in sh mount cat echo uname grep sed cut head tail tr seq sha256sum dmesg nproc poweroff gzip bzip2 bc cmp \
    sleep; do
    ln -s busybox "$root/bin/$tool"
done
cat >"$root/init" <<'INIT'
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
say() { echo "NB L1 $*"; }
say kernel "$(uname -srm)"
say cpus "$(nproc)"
nonce=$(sed -n 's/.*nb\.nonce=\([^ ]*\).*/\1/p' /proc/cmdline)
seq 1 20000 | sed "s/\$/ $nonce/" >/tmp/a
say sha256 "$(sha256sum </tmp/a | cut -d' ' -f1)"
say bc "$(echo '3^2000 % 10^40' | bc)"
for zip in gzip bzip2; do $zip -c /tmp/a | $zip -dc | cmp - /tmp/a && say $zip ok; done
dmesg | grep -E 'WARNING:|BUG:|Oops|\<stalls?\>|soft lockup|Call Trace|unchecked MSR|cut here|segfault|traps:' |
    head -n 5 | sed 's/^/NB L1 dmesg /'
say "done"
poweroff -f
sleep 60
INIT
chmod 755 "$root/init"
(cd "$root" && find . | cpio --quiet -o -H newc -R 0:0) >"$root.cpio"

"$NB" run --accel engine --cpus "$cpus" --memory 512M --no-reboot --timeout 300 --initrd "$root.cpio" \
    --kernel "$packages/$package"/boot/vmlinuz-* \
    --append "console=ttyS0 panic=-1 nb.nonce=$nonce" </dev/null >"$log" 2>&1 ||
    fail "exit status $?"
sed -i 's/\r*$//' "$log"
expect 'NB L1 kernel Linux .* i[36]86$'
expect "NB L1 cpus $cpus"
expect "NB L1 sha256 $(work_digest $nonce)"
expect 'NB L1 bc 6154723157882112449991673819054110440001'
expect 'NB L1 gzip ok'
expect 'NB L1 bzip2 ok'
expect 'NB L1 done'
quiet_dmesg
