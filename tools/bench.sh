#!/bin/bash
# `make bench`: the same program, kernel and image natively, in L1 and L2 of this engine and in L1 of QEMU's TCG, in one
# run. Prints the values and the ratios, and fails if a promise of SPEC.md is missed.
# usage: bench.sh [intel|amd]
set -u
here=$(dirname "$0")
. "$here/need.sh"
nested=${1:-intel}
need_build
need busybox-static cpio qemu-system-x86
make -s -j2 all build/loops || die "the build failed"
nestbox=build/release/nestbox
out=build/bench
tools/fetch.sh build/debs || exit 1
tools/mkinitrd.sh build/debs "$nestbox" build/loops "$out" || exit 1
append="console=ttyS0 panic=-1 quiet"
now() { date +%s%N; }

# Runs "$@", a machine with the serial port on stdout, into the log $out/$1.log; the time to L1's user space is noted.
# Another run of the same name adds to the log.
machine() {
    local log=$out/$1.log start line
    shift
    start=$(now)
    while IFS= read -r line; do
        line=${line//$'\r'/}
        printf '%s\n' "$line" >>"$log"
        case $line in *"NB L1 up"*) echo "NB L1 bench boot $((($(now) - start) / 1000000)) ms" >>"$log" ;; esac
    done < <("$@" 2>&1 </dev/null)
}

# L2 has more than 512 MiB, below which Linux does without transparent huge pages, unlike in L1 and L0.
start_nestbox() { # mode
    # Each boot as the first one: without a folder for unpacked kernels.
    machine nestbox env -u HOME -u XDG_CACHE_HOME "$nestbox" run --kernel build/debs/vmlinuz \
        --initrd "$out/l1.cpio" --memory 1G --nested "$nested" \
        --accel engine --no-reboot --timeout 900 --append "$append nb.mode=$1 nb.cpu=$nested nb.l2memory=640M"
}
start_qemu() { # mode
    machine qemu timeout 900 qemu-system-x86_64 -accel tcg -cpu max -m 1G -display none -serial stdio -monitor none \
        -no-reboot -kernel build/debs/vmlinuz -initrd "$out/l1.cpio" -append "$append nb.mode=$1"
}

: >"$out/nestbox.log"
: >"$out/qemu.log"
: >"$out/native.log"
for round in 1 2; do # the best of both counts: a busy host slows minutes, not all of them
    say "native, then nestbox, L1 and L2 ($nested), round $round of 2"
    build/loops all | sed 's/^/NB L0 bench /' >>"$out/native.log"
    start_nestbox l2bench
done
say "qemu-system-x86_64 -accel tcg"
start_qemu bench
say "boots of both, in turn"
for _ in 1 2; do
    start_nestbox boot
    start_qemu boot
done

value() { # log, level, name: the best
    sed -n "s/.*NB $2 bench $3 \([0-9.e+-]*\) .*/\1/p" "$out/$1.log" | sort -g | head -n 1
}
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (a == "" || b == "" || b == 0) print "-"; else printf "%.2f", a / b }'; }
missed=0
promise() { # text, value, limit
    if [ "$2" = - ] || [ -z "$2" ]; then
        verdict="MISSED (not measured)" missed=1
    elif awk -v v="$2" -v l="$3" 'BEGIN { exit !(v <= l) }'; then
        verdict=kept
    else
        verdict=MISSED missed=1
    fi
    printf '%-60s %8s  limit %-6s %s\n' "$1" "$2" "$3" "$verdict"
}

printf '%-10s %12s %12s %12s %12s %10s %10s %10s\n' what native L1 L2 QEMU L1/native L2/L1 QEMU/L1
for name in boot alu sha256 sieve matrix copy syscall fault fork cpuid; do
    n=$(value native L0 $name) l1=$(value nestbox L1 $name) l2=$(value nestbox L2 $name) q=$(value qemu L1 $name)
    printf '%-10s %12s %12s %12s %12s %10s %10s %10s\n' $name "${n:--}" "${l1:--}" "${l2:--}" "${q:--}" \
        "$(ratio "$l1" "$n")" "$(ratio "$l2" "$l1")" "$(ratio "$q" "$l1")"
done
echo
promise "boot of L1 to user space, of QEMU's time" "$(ratio "$(value nestbox L1 boot)" "$(value qemu L1 boot)")" 0.5
promise "sha256 in L1, of native" "$(ratio "$(value nestbox L1 sha256)" "$(value native L0 sha256)")" 2
promise "SSE2 matrix product in L1, of native" "$(ratio "$(value nestbox L1 matrix)" "$(value native L0 matrix)")" 3
promise "64 MiB copy in L1, of native" "$(ratio "$(value nestbox L1 copy)" "$(value native L0 copy)")" 3
promise "an L2 exit on CPUID handled by L1's kernel, us" "$(value nestbox L2 cpuid)" 10
for name in alu sha256 sieve matrix copy; do
    promise "L2's $name, of L1's" "$(ratio "$(value nestbox L2 $name)" "$(value nestbox L1 $name)")" 1.1
done
exit $missed
