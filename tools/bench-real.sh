#!/bin/bash
# `make bench-real`: programs of Debian (tests/perf/real/programs.sh) natively, in L1, in L2 by Debian's KVM, and in L1
# of QEMU's TCG, in one run, from one file tree that all have in memory, on one CPU each. What the programs print and
# make must be the same at all levels. Then parts of their own: boots, two CPUs against one, four VMs beside each other,
# memory. Prints a table of times, writes build/real/result.json, and fails if a result differs, or if everything was
# measured and a promise is missed. Logs of the levels are in build/real/log.d.
# usage: [PROGRAMS='python xz'] [LEVELS='native l1 l2 tcg'] [PARTS='programs boot smp'] [ROUNDS=1] [RUNS=2]
#        [VENDOR=intel|amd] bench-real.sh
#   LEVELS of programs; PARTS of the whole: without either everything is measured, and promises are checked
#   NESTBOX=FILE, OPTIONS='...'   what runs L1, and more options of `nestbox run` for it, such as --stats
set -u
here=$(dirname "$0")
. "$here/need.sh"
. tests/perf/real/programs.sh
promises=
[ -n "${PROGRAMS:-}${LEVELS:-}${PARTS:-}" ] || promises=1
PARTS=${PARTS:-programs${promises:+ boot smp}}
LEVELS=${LEVELS:-native l1 l2 tcg}
PROGRAMS=${PROGRAMS:-$(echo $programs)}
ROUNDS=${ROUNDS:-1} RUNS=${RUNS:-2} VENDOR=${VENDOR:-intel} OPTIONS=${OPTIONS:-}
for program in $PROGRAMS; do
    [[ " $(echo $programs) " = *" $program "* ]] || die "no program $program; there are: $(echo $programs)"
done
for level in $LEVELS; do
    case $level in native | l1 | l2 | tcg) ;; *) die "no level $level; there are native, l1, l2 and tcg" ;; esac
done
need_build
need busybox-static cpio jq
[[ $LEVELS != *tcg* ]] || need qemu-system-x86
make -s -j2 all build/loops || die "the build failed"
NESTBOX=${NESTBOX:-build/release/nestbox}
tools/fetch.sh build/debs || exit 1
tools/real-tree.sh || exit 1
out=build/real
log=$out/log.d
rm -rf $log
mkdir -p $log

# Behind the tree comes what changes with this project: /init, and in /real/own run.sh, programs.sh, and what L1 needs
# to run L2.
tools/mkinitrd.sh build/debs build/release/nestbox build/loops $out/guest || exit 1
rm -rf $out/own
mkdir -p $out/own/real/own/lib
cp tests/perf/real/init.sh $out/own/init
cp tests/perf/real/run.sh tests/perf/real/programs.sh $out/own/real/own/
cp -r $out/guest/l1/modules $out/guest/l1/bin/nestbox $out/guest/l1/l2/vmlinuz $out/own/real/own/
find $out/guest/l1/lib $out/guest/l1/usr/lib -name 'lib*.so*' -exec cp {} $out/own/real/own/lib/ \; 2>/dev/null
(cd $out/own && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0) >$out/own.cpio

commas() { # words
    echo "$*" | tr ' ' ,
}
append="console=ttyS0 panic=-1 quiet nb.runs=$RUNS nb.cpu=$VENDOR"

value() { # name, number: for the report
    echo "NB bench $1 $2" >>$log/values
}

# On one CPU, in namespaces of its own, where the tree is not written to.
native() {
    # shellcheck disable=SC2016,SC2086
    timeout 3000 unshare --mount --pid --net --ipc --fork --kill-child taskset -c $(($(nproc) - 1)) bash -c '
        mount --make-rprivate / && cd "$1" && mount --bind tree tree && mount --bind own/real/own tree/real/own &&
            mount -o remount,bind,ro tree && cd tree && mount -t proc proc proc && mount --rbind /dev dev &&
            mount -t tmpfs tmp tmp && chmod 1777 tmp && mount -t tmpfs shm dev/shm || exit 1
        shift
        exec env -i "$(command -v chroot)" . /bin/bash -c \
            "/sbin/ip link set lo up; exec /real/own/run.sh \"\$@\"" - native "$@"
    ' - $out $RUNS $PROGRAMS
}
# Writes the most memory in MiB that the process of a VM with much memory had besides that, while it runs. The memory is
# the memfd or a mapping that is as large; files of the initial RAM disk do not count.
watch_memory() { # PID, file
    local most=0 now
    while now=$(awk '/^[0-9a-f]*-/ { file = /cpio$|memfd:nestbox-memory/ } /^Size:/ { ram = $2 >= 512 * 1024 }
            /^Rss:/ && !ram && !file { sum += $2 }
            END { printf "%d", sum / 1024 }' "/proc/$1/smaps" 2>/dev/null) &&
        [ -n "$now" ] && kill -0 "$1" 2>/dev/null; do
        [ "$now" -le $most ] || most=$now
        echo $most >"$2"
        sleep 2
    done
}
l1() { # more words for L1's command line, memory
    # shellcheck disable=SC2086
    "$NESTBOX" run --accel engine --nested "$VENDOR" --kernel build/debs/vmlinuz --initrd $out/tree.cpio \
        --initrd $out/own.cpio --memory "$2" --no-reboot --timeout 6000 $OPTIONS --append "$append nb.level=L1 $1" &
    local vm=$!
    watch_memory $vm $log/memory.$vm &
    wait $vm
}
tcg() {
    cat $out/tree.cpio $out/own.cpio >$out/qemu.cpio
    timeout 6000 qemu-system-x86_64 -accel tcg -cpu max -m 3G -display none -serial stdio -monitor none -no-reboot \
        -kernel build/debs/vmlinuz -initrd $out/qemu.cpio \
        -append "$append nb.level=TCG nb.programs=$(commas "$PROGRAMS")"
}

# Milliseconds from the start of "$@", a VM, to its line "NB L1 up". What it prints is in build/real/boot.log.
boot() {
    local begin=${EPOCHREALTIME/./} line
    while IFS= read -r line; do
        [[ $line != *"NB L1 up"* ]] || echo $(((${EPOCHREALTIME/./} - begin) / 1000))
    done < <("$@" 2>&1 </dev/null | tee -a $out/boot.log)
}
least() { sort -g | head -n 1; }
part_boot() {
    local words="console=ttyS0 panic=-1 quiet nb.mode=boot" turn
    say "boots of L1, in turn with QEMU's"
    : >$out/boot.log
    for turn in 1 2 3; do
        # Each time as the first time: without a folder for unpacked kernels.
        # shellcheck disable=SC2086
        boot env -u HOME -u XDG_CACHE_HOME "$NESTBOX" run --accel engine --nested "$VENDOR" \
            --kernel build/debs/vmlinuz --initrd $out/guest/l1.cpio \
            --no-reboot --timeout 300 $OPTIONS --append "$words" >>$log/boot-l1
        boot timeout 300 qemu-system-x86_64 -accel tcg -cpu max -m 1G -display none -serial stdio -monitor none \
            -no-reboot -kernel build/debs/vmlinuz -initrd $out/guest/l1.cpio -append "$words" >>$log/boot-tcg
    done
    value boot-l1 "$(least <$log/boot-l1)"
    value boot-tcg "$(least <$log/boot-tcg)"
}
# Microseconds that JOBS jobs of independent work beside each other take in a VM with as many CPUs.
jobs_in_vm() { # JOBS, log
    # shellcheck disable=SC2086
    "$NESTBOX" run --accel engine --nested "$VENDOR" --kernel build/debs/vmlinuz --initrd $out/tree.cpio \
        --initrd $out/own.cpio --memory 2G --cpus "$1" --no-reboot --timeout 3000 $OPTIONS \
        --append "$append nb.level=L1 nb.jobs=$1 nb.programs=python,sqlite,perl" </dev/null 2>&1 |
        tr -d '\r' | tee "$log/$2" | sed -n 's/^NB L1 jobs //p'
}
quotient() { awk -v a="$1" -v b="$2" 'BEGIN { if (a > 0 && b > 0) printf "%.3f", a / b; else print "-" }'; }
part_smp() {
    local one two i cores
    say "the same work on one CPU, twice on two, and in four VMs"
    one=$(jobs_in_vm 1 jobs.1)
    two=$(jobs_in_vm 2 jobs.2)
    value smp "$(quotient "$two" "$one")"
    cores=$(($(nproc) < 4 ? $(nproc) : 4))
    for i in 1 2 3 4; do jobs_in_vm 1 four.$i >$log/four-took.$i & done
    wait
    value four "$(quotient $(($(cat $log/four-took.? | sort -g | tail -n 1) * cores)) $((one * 4)))"
}
both() { # whether l1 and l2 are both wanted: they are then one VM
    [[ $LEVELS = *l1* && $LEVELS = *l2* ]]
}
measure_programs() {
    local round level
    for ((round = 1; round <= ROUNDS; round++)); do
        for level in $LEVELS; do
            say "$level, round $round of $ROUNDS"
            case $level in
            native) native ;;
            l1)
                if both; then
                    l1 "nb.programs=$(commas "$PROGRAMS") nb.l2=$(commas "$PROGRAMS") nb.l2memory=2560M" 6G
                else
                    l1 "nb.programs=$(commas "$PROGRAMS")" 3G
                fi
                ;;
            l2) both || l1 "nb.l2=$(commas "$PROGRAMS") nb.l2memory=2560M" 6G ;;
            tcg) tcg ;;
            esac </dev/null 2>&1 | tr -d '\r' | tee $log/$level.$round | sed -n 's/^NB real-error /    /p' >&2
        done
    done
}
[[ " $PARTS " != *" programs "* ]] || measure_programs
[[ " $PARTS " != *" boot "* ]] || part_boot
[[ " $PARTS " != *" smp "* ]] || part_smp
[[ " $PARTS " = *" programs "* ]] || PROGRAMS=
cat $log/memory.* 2>/dev/null | sort -g | tail -n 1 | while read -r most; do value memory "$most"; done
awk -v programs="$PROGRAMS" -v computing="$computing" -v levels="$LEVELS" -v promises="$promises" -v runs="$RUNS" \
    -v json=$out/result.json -f tests/perf/real/report.awk $log/*
