#!/bin/bash
# Programs that do what is strange in user mode (strange.h) run exactly by direct execution: what must hold holds, and
# what they print is what they print natively. intel, amd: the same in L2, by Debian's KVM in L1.
# signals: while its processes get signals as a terminal sends them.
# mapped: translated, with all their pages at host addresses (docs/mapped.md); mapped-intel, mapped-amd: in L2, and its
# kernel's pages, too.
# cases: on auto one mapped
# more cases: intel amd mapped-intel mapped-amd signals
set -u
. "$(dirname "$0")/guest.sh"
needs_direct
mkdir -p "$work/root"
here=$(dirname "$0")
flags='-std=gnu17 -O1 -Wall -Wextra -Wno-unused-parameter'
${CC:-gcc} $flags -mavx2 -Wno-clobbered -static -pthread -D_GNU_SOURCE -Wl,-z,separate-code -o "$work/root/init" \
    "$here"/strange.c "$here"/strange_{processor,debugged,memory}.c || fail "cannot build the programs"
${CC:-gcc} $flags -m32 -ffreestanding -nostdlib -static -fno-pic -no-pie -fno-stack-protector -mno-sse \
    -Wl,-z,noexecstack -o "$work/root/strange32" "$here/strange32.c" || fail "cannot build the 32-bit program"
for kind in address thread; do
    ${CC:-gcc} $flags -pthread -fsanitize=$kind -o "$work/root/sanitized-$kind" "$here/strange_sanitized.c" ||
        fail "cannot build with -fsanitize=$kind"
    ldd "$work/root/sanitized-$kind" | grep -o '/[^ ]*' | while read -r library; do
        mkdir -p "$work/root/$(dirname "$library")"
        cp -L "$library" "$work/root/$library"
    done
done
"$work/root/init" >"$work/native" && ! grep -q FAILED "$work/native" || {
    cat "$work/native"
    echo "FAILED natively"
    exit 1
}
pack_root
append="quiet nokaslr vsyscall=xonly ${ONLY:+ONLY=$ONLY}"
cpus=2 direct=on nested=off
case $1 in
auto) direct=auto ;;
mapped) direct=off mapped=on ;;
mapped-*)
    direct=off mapped=on
    nested=${1#mapped-}
    l2_image "$nested"
    ;;
one)
    cpus=1
    append="$append nopku pti=on" # XCR0 may be the host's then, and XSAVE is executed directly
    ;;
intel | amd)
    l2_image "$1"
    nested=$1
    ;;
esac
[ -z "${DIRECT:-}" ] || direct=$DIRECT
boot_l1 $nested $cpus "$append" &
booted=$!
while [ "$1" = signals ] && kill -0 $booted 2>/dev/null; do
    for signal in WINCH INT TSTP CONT STOP; do
        # shellcheck disable=SC2046
        kill -$signal $(pgrep -P "$(pgrep -P $booted | head -n 1)" 2>/dev/null) 2>/dev/null
    done
done
wait $booted || fail "exit status $?"
expect '^strange: done'
grep '^strange: [^=]' "$log"
! grep -q '^strange: .*FAILED' "$log" || fail "see the lines above"
quiet_dmesg
if [ -n "${mapped:-}" ]; then
    pages=$(sed -n 's/.*users\.pages \([0-9]*\).*/\1/p' "$log" | awk '{n += $1} END {print n}')
    [ "${pages:-0}" -gt 10000 ] || fail "hardly any pages were mapped"
fi
if [ $direct = on ]; then
    count=entries
    [ $nested = off ] || count=entries_l2
    calls=$(sed -n "s/.*direct\.$count \([0-9]*\).*/\1/p" "$log" | awk '{n += $1} END {print n}')
    [ "${calls:-0}" -gt 1000 ] || fail "hardly any code was executed directly"
fi
if [ "$1" = signals ]; then
    sed -n 's/^vCPU.*direct\.entries \([0-9]*\).* direct\.processes \([0-9]*\)$/\1 \2/p' "$log" |
        awk '{ n++; bad += $1 < 20000 || $2 > 150 } END { exit n != 2 || bad }' ||
        fail "signals end processes, or their use"
fi
grep '^strange: =' "$work/native" >"$work/wanted"
grep '^strange: =' "$log" | diff "$work/wanted" - && exit
echo "FAILED: the guest (>) differs from the host (<)"
exit 1
