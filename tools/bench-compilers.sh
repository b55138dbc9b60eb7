#!/bin/bash
# How fast the same loops are as gcc and clang make them with several options: natively and in L1, one line each. What
# registers a compiler chooses matters to the engine (docs/engine.md "Loans").
# usage: bench-compilers.sh [LOOP]
set -u
here=$(dirname "$0")
. "$here/need.sh"
loop=${1:-sha256}
need_build
need busybox-static cpio clang
make -s -j2 all || die "the build failed"
tools/fetch.sh build/debs || exit 1
out=build/bench/compilers
root=$out/root
rm -rf "$out"
mkdir -p "$root/proc" "$root/dev" "$root/t"
cp "$(command -v busybox)" "$root/busybox"
for compiler in gcc clang; do
    for level in 1 2 3 s; do
        for shape in '' -DRUNS_UNKNOWN; do
            $compiler -std=gnu17 -O$level -D_GNU_SOURCE $shape -static \
                -o "$root/t/$compiler-O$level${shape:+-x}" tests/perf/loops.c || die "$compiler failed"
        done
    done
done
cat >"$root/init" <<END
#!/busybox sh
/busybox mount -t proc proc /proc
for b in /t/*; do echo "NB \${b#/t/} \$(\$b $loop)"; done
/busybox poweroff -f
END
chmod 755 "$root/init"
(cd "$root" && find . | cpio --quiet -o -H newc -R 0:0) >"$out/image.cpio"
for b in "$root"/t/*; do
    echo "$(basename "$b") $("$b" "$loop")"
done >"$out/native"
build/release/nestbox run --kernel build/debs/vmlinuz --initrd "$out/image.cpio" --memory 1G --accel engine \
    --no-reboot --timeout 600 --append "console=ttyS0 panic=-1 quiet" </dev/null 2>&1 |
    tr -d '\r' | sed -n 's/^NB //p' >"$out/l1"
printf '%-14s %10s %10s %10s\n' "$loop" native L1 L1/native
awk 'NR == FNR { l1[$1] = $3; next }
    { printf "%-14s %10s %10s %10.2f\n", $1, $3, l1[$1], l1[$1] / $3; if (!($1 in l1)) missing = 1 }
    END { exit missing }' "$out/l1" "$out/native"
