#!/bin/bash
# User code that the host's CPU executes does what translated code does: strange programs print the same, and tests of
# vector state and of several CPUs pass with it.
# cases: on auto cpu2 vectors smp
set -u
. "$(dirname "$0")/guest.sh"
"$NB" doctor | grep -q '^  --direct       works' || { echo "no direct execution here: see nestbox doctor"; exit 77; }
case $1 in
vectors | smp)
    init_from "$(dirname "$0")/$1.c"
    direct=on
    boot_l1 off 2 'quiet nokaslr' || fail "exit status $?"
    expect 'vectors: kept\|smp: done'
    ! grep -q 'FAILED\|lost' "$log" || fail "a check failed; see the lines above"
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
cpus=1 direct=on
[ "$1" = cpu2 ] && cpus=2
[ "$1" = auto ] && direct=auto
boot_l1 off $cpus 'quiet nokaslr' || fail "exit status $?"
grep '^direct: ' "$log" >"$work/direct"
expect '^direct: done'
if [ "$1" != auto ]; then
    calls=$(sed -n 's/.*direct\.syscalls \([0-9]*\).*/\1/p' "$log" | awk '{n += $1} END {print n}')
    [ "${calls:-0}" -gt 1000 ] || fail "hardly any code was executed directly"
fi
quiet_dmesg
direct=off
boot_l1 off 1 'quiet nokaslr' || fail "exit status $? without direct execution"
grep '^direct: ' "$log" >"$work/translated"
diff "$work/translated" "$work/direct" && exit
echo "FAILED: direct execution (>) differs from translated code (<)"
exit 1
