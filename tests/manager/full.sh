#!/bin/bash
# A full file system of the host: the VM is paused before its guest sees an error, says which disk it is, and goes on by
# itself when there is room. The file system is one in memory, in a mount namespace of this script's own.
set -u
if [ -z "${FULL_INSIDE:-}" ]; then
    spaces=(--mount)
    [ "$(id -u)" = 0 ] || spaces+=(--map-root-user)
    unshare "${spaces[@]}" true 2>/dev/null || { echo 'no namespaces can be made here'; exit 77; }
    FULL_INSIDE=1 exec unshare "${spaces[@]}" bash "$0" "$@"
fi
. "$(dirname "$0")/lib.sh"

mkdir "$work/small"
mount -t tmpfs -o size=100M tmpfs "$work/small" || skip 'no file system can be mounted'
trap 'umount -l "$work/small"; finish' EXIT
counter_disk "$work/counter.raw"
qemu-img create -q -f qcow2 -b "$work/counter.raw" -F raw "$work/small/disk.qcow2"
nb create lab --generation 1 --memory 64M --accel engine --disk "$work/small/disk.qcow2"
nb start lab
within 20 counts lab 5 || fail 'it does not count'
cat /dev/zero >"$work/small/filler" 2>/dev/null
printf w | timeout 0.5 "$NB" console lab --no-history >/dev/null 2>&1
must_be lab Paused
"$NB" show lab --json | jq -e '.problem.text | test("disk0 .*the host has no room")' >/dev/null ||
    fail "it says $("$NB" show lab --json | jq -c .problem)"
"$NB" show lab | grep -qE 'problem .*the host has no room for it; it goes on by itself' ||
    fail "show says $("$NB" show lab)"
say 'paused'
before=$(count lab)
rm "$work/small/filler"
must_be lab Running
within 5 counts lab "$before" || fail 'it does not go on'
printf p | timeout 0.5 "$NB" console lab --no-history >/dev/null 2>&1
printed lab | grep -q '^disk [0-9]' || fail 'nothing is on the disk'
nb logs lab | grep -q 'goes on' || fail "the log: $("$NB" logs lab)"
nb stop lab --turn-off
say 'it went on by itself, and the write is there'
