#!/bin/bash
# Builds the disks of tests/qemu in build/disk/, where they are missing or older than what they are made of: test.raw,
# an installed Debian with the tests' programs, test.raw.vmlinuz and test.raw.initrd; and with the argument "nested"
# l1.qcow2, the same with QEMU and, as /l2.raw, that disk again.
# usage: test-disks.sh [nested]
set -eu
here=$(dirname "$0")
. "$here/need.sh"
out=build/disk
mkdir -p $out
build=$here/../src/image/build.sh
# shellcheck disable=SC2046
need $("$build" --needs) gcc libc6-dev qemu-system-x86 qemu-utils seabios ovmf swtpm swtpm-tools socat iproute2
stale() { # FILE, WHAT IT IS MADE OF...
    local file=$1 source
    shift
    [ -e "$file" ] || return 0
    for source; do [ "$file" -nt "$source" ] || return 0; done
    return 1
}
if stale $out/pages tests/qemu/pages.c; then
    ${CC:-gcc} -std=gnu17 -O2 -Wall -Wextra -Wno-unused-parameter -static -D_GNU_SOURCE -o $out/pages tests/qemu/pages.c
fi
if stale build/loops tests/perf/loops.c; then make -s build/loops; fi
if stale $out/test.raw $out/pages build/loops "$build"; then
    "$build" --cache $out --keep --password nestbox --package fio \
        --copy $out/pages:/usr/local/bin/pages --copy build/loops:/usr/local/bin/loops --export $out/test.raw
fi
if [ "${1:-}" = nested ] && stale $out/l1.qcow2 $out/test.raw; then
    "$build" --cache $out --keep --password nestbox --package "fio qemu-system-x86 qemu-utils ovmf" \
        --copy $out/pages:/usr/local/bin/pages --copy $out/test.raw:/l2.raw --size 4G --hostname l1 --format qcow2 \
        $out/l1.qcow2
fi
