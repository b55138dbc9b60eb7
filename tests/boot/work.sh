#!/bin/bash
# Programs that compute much give the same results in L1 as on the host: digests, compressors, the C compiler at three
# levels, perl. Both sides run one root directory; with one CPU, and with two on which all of it runs twice at once.
# cases: cpu1 cpu2
# limit: 1200
set -u
. "$(dirname "$0")/guest.sh"
BOOT_TIMEOUT=1100 # of a busy host
root=$work/root
mkdir -p "$root/dev" "$root/proc" "$root/data" "$root/bin"
cc1=$(gcc -print-prog-name=cc1)
perl=$(command -v perl) xz=$(command -v xz)
for program in "$cc1" "$perl" "$xz"; do
    install_program "$program" "$root"
done
cp "$(command -v busybox)" "$root/bin/busybox"
cp "$NB" "$root/data/program"
for source in src/cpu/jit/rewrite.c src/cpu/mmu/walk.c src/machine/acpi.c; do
    gcc -E -std=gnu17 -Isrc "$source" -o "$root/data/$(basename "$source" .c).i" || fail "cannot preprocess $source"
done
cat >"$root/compute" <<END
#!/bin/busybox sh
export PATH=/bin LC_ALL=C
/bin/busybox --install -s /bin 2>/dev/null
for digest in md5sum sha1sum sha256sum sha512sum sha3sum crc32; do
    for file in /data/*; do
        echo "\$digest \$(busybox \$digest \$file)"
    done
done
echo "gzip \$(gzip -9 -c /data/program | sha256sum) \$(gzip -c /data/program | gunzip | md5sum)"
echo "bzip2 \$(bzip2 -c /data/program | sha256sum) \$(bzip2 -c /data/program | bunzip2 | md5sum)"
echo "xz \$($xz -T1 -3 -c /data/program | sha256sum) \$($xz -T1 -1 -c /data/program | unxz | md5sum)"
for level in 0 2 3; do
    for file in /data/*.i; do
        $cc1 -fpreprocessed -quiet -O\$level \$file -o /\$\$.s || exit
        echo "cc1 -O\$level \$file \$(wc -l </\$\$.s) lines \$(md5sum </\$\$.s)"
    done
done
$perl -e 'my (\$x, \$s, %h) = (1, 0);
    for (1 .. 200000) {
        \$x = (\$x * 1103515245 + 12345) % 2147483648;
        \$h{\$x % 1009} .= chr(97 + \$x % 26);
        \$s += sqrt(\$x) / (1 + \$x);
    }
    printf "perl %.17g %d\n", \$s, scalar grep { /a[^a]*b.*c(d|e)?/ } values %h;
    printf "perl %.15g\n", exp(sin(\$_)) ** 1.5 for 1 .. 20;'
echo "awk \$(awk 'BEGIN { for (i = 1; i < 300000; i++) s = s * 31 % 65521 + i / 7; printf "%.17g", s }')"
END
cat >"$root/init" <<'END'
#!/bin/busybox sh
busybox() { /bin/busybox "$@"; }
busybox mount -t proc proc /proc
for i in $(busybox seq "$(busybox nproc)"); do
    busybox sh /compute 2>&1 | busybox sed "s/^/NB work $i /" &
done
wait
echo 'NB work done'
busybox poweroff -f
END
chmod 755 "$root/init" "$root/compute"
[ "$(id -u)" = 0 ] || { echo "the host's run takes root"; exit 77; }
log=$work/want
chroot "$root" /bin/busybox sh /compute >"$log" 2>&1 || fail "the host's run: exit status $?"
rm -f "$root"/*.s
grep -E 'not found|rror' "$log" && fail "the host's run"
log=$work/log
pack_root
boot_l1 off "${1#cpu}" quiet || fail "exit status $?"
expect 'NB work done'
for i in $(seq "${1#cpu}"); do
    sed -n "s/^NB work $i //p" "$log" | diff "$work/want" - >&2 || fail "L1 computed something else than the host"
done
