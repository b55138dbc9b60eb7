#!/bin/bash
# `make demo`: Debian's kernel as L1 with VT-x, then with AMD-V; its own KVM runs L2 in this same program. Prints
# progress, and at the end a tree of the levels with the time of each, then the story of story.sh; exit status 0 only if
# every level did its work.
# usage: demo.sh [intel|amd]...   (without the story)
set -u
here=$(dirname "$0")
. "$here/need.sh"
story=no
[ $# -gt 0 ] || { set -- intel amd && story=yes; }
nestbox=build/release/nestbox loops=build/loops out=build/demo

build() { # one line of progress
    local all line steps=0
    all=$(make -n all build/loops | grep -c "^printf '  %-7s")
    [ "$all" -gt 0 ] || return 0
    printf 'building:' >&2
    make --no-print-directory -j2 all build/loops | while read -r line; do
        steps=$((steps + 1))
        echo "dlstatus:$steps:$((100 * steps / all)):"
    done | progress 100
    [ "${PIPESTATUS[0]}" = 0 ] && say " done, $SECONDS s"
}

need_build
need busybox-static cpio
SECONDS=0
build || die "the build failed"
"$here/fetch.sh" build/debs || exit 1
"$here/mkinitrd.sh" build/debs "$nestbox" "$loops" "$out" || exit 1

now() { date +%s%N; }
seconds() { printf '%d.%d s' $(($1 / 1000000000)) $(($1 / 100000000 % 10)); }

# Reads a line; while none comes, the time is printed every five seconds.
next_line() {
    local part status
    line=
    while :; do
        IFS= read -r -t 5 part
        status=$?
        line=$line$part
        [ $status -gt 128 ] || break
        say "   $(seconds $(($(now) - start)))  ..."
    done
    line=${line//$'\r'/}
    [ $status = 0 ] || [ -n "$line" ]
}

# The last value that level $1 printed for $2 in the log $3.
value() { sed -n "s/.*NB $1 $2 *//p" "$3" | tail -n 1; }

tree=
failed=0
for nested in "$@"; do
    accel=$("$nestbox" doctor 2>/dev/null | sed -n "s/^ *--nested $nested *\\([a-z]*\\):.*/\\1/p" | head -n 1)
    nonce=$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')
    log=$out/$nested.log
    want=$(seq 1 20000 | sed "s/\$/ $nonce/" | sha256sum | cut -d' ' -f1)
    say "== $nested: L1 boots"
    start=$(now)
    l1_up=0 l2_start=0 l2_up=0 l2_end=0
    echo "NB L0 nonce $nonce, expects sha256 $want" >"$log"
    while next_line; do
        printf '%s\n' "$line" >>"$log"
        case $line in
        *"NB L1 up"*) l1_up=$(now) ;;
        *"NB L1 l2 starting"*) l2_start=$(now) ;;
        *"NB L2 up"*) l2_up=$(now) ;;
        *"NB L1 l2 exit"*) l2_end=$(now) ;;
        esac
        case $line in
        *"NB L"[12]*) say "   $(seconds $(($(now) - start)))  ${line#*NB }" ;;
        esac
    done < <("$nestbox" run --kernel build/debs/vmlinuz --initrd "$out/l1.cpio" --memory 1G --nested "$nested" \
        --no-reboot --timeout "${DEMO_TIMEOUT:-600}" </dev/null 2>&1 \
        --append "console=ttyS0 panic=-1 quiet nb.mode=demo nb.cpu=$nested nb.nonce=$nonce"
        echo "NB exit $?")
    end=$(now)
    wrong=
    grep -q '^NB exit 0' "$log" || wrong="$wrong; nestbox ended with $(sed -n 's/^NB exit //p' "$log")"
    [ $l1_up -gt 0 ] || wrong="$wrong; L1 did not reach user space"
    case $nested in intel) flag=vmx module=kvm_intel ;; *) flag=svm module=kvm_amd ;; esac
    [ "$(value L1 flags "$log")" = "$flag" ] || wrong="$wrong; L1 does not see $flag"
    grep -q "NB L1 module $module loaded" "$log" || wrong="$wrong; $module did not load"
    [ $l2_up -gt 0 ] || wrong="$wrong; L2 did not reach user space"
    [ "$(value L2 sha256 "$log")" = "$want" ] || wrong="$wrong; L2 did not compute what L0 expects"
    grep -q 'NB L2 done' "$log" || wrong="$wrong; L2 did not finish"
    [ "$(value L1 'l2 exit' "$log")" = 0 ] || wrong="$wrong; L2 ended with status $(value L1 'l2 exit' "$log")"
    grep -q 'NB L1 done' "$log" || wrong="$wrong; L1 did not finish"
    complaint=$(grep -o 'NB L[12] dmesg.*' "$log" | head -n 1)
    [ -z "$complaint" ] || wrong="$wrong; $complaint"
    result=ok
    if [ -n "$wrong" ]; then
        result="FAILED: ${wrong#; } (see $log)"
        failed=1
    fi
    l1="did not reach user space" l2="did not reach user space"
    [ $l1_up -gt 0 ] &&
        l1="$(value L1 kernel "$log"), $(value L1 vendor "$log") with $flag: up after $(seconds $((l1_up - start)))"
    [ $l2_up -gt 0 ] && l2="$(value L2 kernel "$log") on $module, hypervisor $(value L2 hypervisor "$log"): up \
$(seconds $((l2_up - l2_start))) after its start, at work for $(seconds $((l2_end > 0 ? l2_end - l2_up : end - l2_up)))"
    tree="$tree
L0  $(uname -sr), nestbox${accel:+, $accel}
└─ L1  $l1
   └─ L2  $l2
$nested: $result, $(seconds $((end - start))) in all
"
done
printf '%s\n' "$tree"
[ $story = no ] || "$here/story.sh" || failed=1
exit $failed
