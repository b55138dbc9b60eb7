#!/bin/bash
# User code that the host's CPU executes does what translated code does: strange programs print the same, and tests of
# vector state and of several CPUs pass with it. intel, amd: the same in L2, by Debian's KVM in L1. again: a program
# that won before goes direct soon.
# cases: on auto again cpu2 vectors smp intel amd
set -u
. "$(dirname "$0")/guest.sh"
needs_direct
case $1 in
vectors | smp)
    init_from "$(dirname "$0")/$1.c"
    direct=on
    boot_l1 off 2 'quiet nokaslr' || fail "exit status $?"
    expect 'vectors: kept\|smp: done'
    ! grep -q 'FAILED\|lost' "$log" || fail "a check failed; see the lines above"
    exit 0
    ;;
again)
    init_from "$(dirname "$0")/direct_again.c"
    direct=auto
    boot_l1 off 1 'quiet nokaslr' || fail "exit status $?"
    expect '^again: done'
    ! grep -q 'again: status' "$log" || fail "a process failed"
    predicted=$(sed -n 's/.*direct\.predicted \([0-9]*\).*/\1/p' "$log")
    [ "${predicted:-0}" -ge 12 ] || fail "${predicted:-no} processes of 16 were known to win"
    exit 0
    ;;
esac
# Pages of the C library's start have CPUID and are translated: the program's own code lies apart from them.
mkdir -p "$work/root/proc"
echo '.balign 4096; .skip 4096, 0xcc; .section .note.GNU-stack, "", @progbits' >"$work/space.s"
${CC:-gcc} -c -o "$work/space.o" "$work/space.s" &&
    ${CC:-gcc} -std=gnu17 -O1 -Wall -Wextra -Wno-unused-parameter -pthread -D_GNU_SOURCE -c -o "$work/direct.o" \
        "$(dirname "$0")/direct.c" &&
    ${CC:-gcc} -static -pthread -o "$work/root/init" "$work/space.o" "$work/direct.o" "$work/space.o" ||
    fail "cannot build direct.c"
pack_root
append='quiet nokaslr'
cpus=1 direct=on nested=off
case $1 in
intel | amd)
    l2_image "$1" # the program is the whole of L2
    nested=$1
    ;;
esac
[ "$1" = cpu2 ] && cpus=2
[ "$1" = auto ] && direct=auto
boot_l1 $nested $cpus "$append" || fail "exit status $?"
grep '^direct: ' "$log" >"$work/direct"
expect '^direct: done'
if [ "$1" != auto ]; then
    count=syscalls
    [ $nested = off ] || count=entries_l2
    calls=$(sed -n "s/.*direct\.$count \([0-9]*\).*/\1/p" "$log" | awk '{n += $1} END {print n}')
    [ "${calls:-0}" -gt 1000 ] || fail "hardly any code was executed directly"
fi
if [ "$1" = on ]; then
    stops=$(sed -n 's/.*direct\.trapped \([0-9]*\).*/\1/p' "$log")
    [ "${stops:-0}" -gt 12 ] || fail "processes stopped ${stops:-0} times at breakpoints"
    stops=$(sed -n 's/.*direct\.other_stops \([0-9]*\).*/\1/p' "$log")
    [ "${stops:-1000}" -lt 1000 ] || fail "processes stopped ${stops:-0} times for faults: at each RDTSC"
fi
quiet_dmesg
direct=off
boot_l1 $nested 1 "$append" || fail "exit status $? without direct execution"
grep '^direct: ' "$log" >"$work/translated"
diff "$work/translated" "$work/direct" && exit
echo "FAILED: direct execution (>) differs from translated code (<)"
exit 1
