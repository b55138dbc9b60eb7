#!/bin/bash
# Part of `make bench`: an installed Debian in QEMU on the engine and in QEMU by TCG, with the same image and the same
# devices, in turn in one run. Prints values and ratios, and fails if a promise of SPEC.md is missed. Compute loops are
# compared with those that tools/bench.sh measured in L1 of `nestbox run` before, if it did.
# usage: bench-qemu.sh [intel|amd] [ROUNDS]
#        bench-qemu.sh measure   (one start, with QEMU_ACCEL and VENDOR in the environment: prints "name value" lines)
set -u
loops='alu sha256 sieve matrix copy'
here=$(dirname "$0")
. "$here/need.sh"
if [ "${1:-}" != measure ]; then
    need_build
    need qemu-system-x86 qemu-utils socat
    make -s -j2 all build/loops || die "the build failed"
    "$here/test-disks.sh" || exit 1
    out=build/bench
    mkdir -p $out
    : >$out/kvm.values
    : >$out/tcg.values
    for ((round = 1; round <= ${2:-2}; round++)); do
        for accel in kvm tcg; do
            say "QEMU, -accel $accel, round $round of ${2:-2}"
            VENDOR=${1:-intel} QEMU_ACCEL=$accel "$0" measure >$out/$accel.log ||
                { tail -n 5 $out/$accel.log >&2 && die "no measurement: $out/$accel.log"; }
            grep '^value ' $out/$accel.log >>$out/$accel.values
        done
    done
    best() { # accelerator, name, the better order: -g or -gr
        sed -n "s/^value $2 //p" "$out/$1.values" | sort "$3" | head -n 1
    }
    missed=0
    printf '%-24s %12s %12s %12s  %s\n' what engine TCG 'engine/TCG' promise
    row() { # name, unit, order, promised ratio
        local k t ratio verdict
        k=$(best kvm "$1" "$3") t=$(best tcg "$1" "$3")
        ratio=$(awk -v a="${k:-0}" -v b="${t:-0}" 'BEGIN { if (b == 0) print "-"; else printf "%.2f", a / b }')
        case $3 in
        -g) verdict="at most $4" ;;
        *) verdict="at least $4" ;;
        esac
        awk -v r="$ratio" -v l="$4" -v o="$3" 'BEGIN { exit !(r != "-" && (o == "-g" ? r <= l : r >= l)) }' ||
            { verdict="$verdict: MISSED" && missed=1; }
        printf '%-24s %12s %12s %12s  %s\n' "$1, $2" "${k:--}" "${t:--}" "$ratio" "$verdict"
    }
    row login s -g 0.5
    row randread IO/s -gr 1.5
    row randwrite IO/s -gr 1.5
    row read MB/s -gr 1.5
    row tcp MB/s -gr 1.5
    port=$(best kvm port -g)
    verdict='under 3'
    awk -v p="${port:-99}" 'BEGIN { exit !(p < 3) }' || { verdict="$verdict: MISSED" && missed=1; }
    printf '%-24s %12s %12s %12s  %s\n' 'port, us' "${port:--}" "$(best tcg port -g)" '' "$verdict"
    for name in $loops; do
        qemu=$(best kvm "$name" -g)
        run=$(sed -n "s/.*NB L1 bench $name \([0-9.e+-]*\) .*/\1/p" $out/nestbox.log 2>/dev/null | sort -g | head -n 1)
        ratio=$(awk -v a="${qemu:-0}" -v b="${run:-0}" 'BEGIN { if (b == 0) print "-"; else printf "%.2f", a / b }')
        verdict='at most 1.05 of nestbox run'
        awk -v r="$ratio" 'BEGIN { exit r != "-" && r > 1.05 }' || { verdict="$verdict: MISSED" && missed=1; }
        printf '%-24s %12s %12s %12s  %s\n' "$name" "${qemu:--}" "${run:--}" "$ratio" "$verdict"
    done
    rss=$(($(best kvm rss -g) - $(best tcg rss -g)))
    verdict='at most 256 more'
    [ $rss -le 256 ] || { verdict="$verdict: MISSED" && missed=1; }
    printf '%-24s %12s %12s %12s  %s\n' 'rss beyond RAM, MiB' "$(best kvm rss -g)" "$(best tcg rss -g)" '' "$verdict"
    exit $missed
fi

PATIENCE=3
. "$here/../tests/qemu/lib.sh"
now() { echo "${EPOCHREALTIME/[^0-9]/}"; }
overlay d0
qemu-img create -q -f raw "$work/data" 256M
dd if=/dev/urandom of="$work/data" bs=1M count=256 conv=notrunc status=none
begin=$(now)
# shellcheck disable=SC2046
qemu vm $(accelerator) -machine q35 -smp 1 -m 512M -no-reboot $(disk virtio-blk "$work/d0.qcow2") \
    -drive "if=none,id=d1,file=$work/data,format=raw" -device virtio-blk-pci,drive=d1 \
    -netdev user,id=n0,guestfwd=tcp:10.0.2.100:80-cmd:"head -c 67108864 /dev/zero" -device virtio-net-pci,netdev=n0
sees vm 'root@debian:~# ' 500
value() { echo "value $*"; }
value login "$(awk -v t=$(($(now) - begin)) 'BEGIN { printf "%.2f", t / 1e6 }')"
echo 0 >"$work/vm.place"
logged_in vm 60
guest vm 'sleep 10; for i in {1..60}; do ip -4 route | grep -q default && break; sleep 1; done' 100
measure() { # name, the field of fio's terse output, a factor, options
    local out
    out=$(guest vm "fio --name=v --filename=/dev/vdb --direct=1 --ioengine=libaio --time_based --runtime=8 \
--output-format=terse $4 | grep '^3;' | cut -d';' -f$2" 200) || fail "fio: $out"
    value "$1" $((out / $3))
}
measure randread 8 1 '--rw=randread --bs=4k --iodepth=8'
measure randwrite 49 1 '--rw=randwrite --bs=4k --iodepth=8'
measure read 7 1024 '--rw=read --bs=1M --iodepth=4'
tcp=$(guest vm 's=${EPOCHREALTIME/.}; cat </dev/tcp/10.0.2.100/80 | wc -c
    echo $((67108864 / (${EPOCHREALTIME/.} - s)))' 300)
[ "${tcp%%$'\n'*}" = 67108864 ] || fail "TCP: $tcp"
value tcp "${tcp##*$'\n'}"
guest vm 'loops port' 100 | sed -n 's/^\(port\) \([0-9.]*\) .*/value \1 \2/p'
[ "$QEMU_ACCEL" = tcg ] || guest vm "loops $loops" 300 | sed -n 's/^\([a-z0-9]*\) \([0-9.]*\) .*/value \1 \2/p'
# Without guest memory, which is the mapping of that size: how much of it a guest touches is not the same each time.
value rss "$(awk '/^Size:/ { ram = $2 == 512 * 1024 } /^Rss:/ && !ram { sum += $2 } END { printf "%d", sum / 1024 }' \
    "/proc/${process[vm]}/smaps")"
types vm poweroff
ends vm 0
