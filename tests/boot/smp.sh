#!/bin/bash
# What several CPUs do to each other: code that another one wrote, locked operations, shootdowns, kernel patching,
# hot-plug.
# cases: cpu2 cpu4
set -u
. "$(dirname "$0")/guest.sh"
init_from "$(dirname "$0")/smp.c"
boot_l1 off "${1#cpu}" 'nokaslr loglevel=5' || fail "exit status $?"
expect "smp: ${1#cpu} CPUs"
expect 'smp: done'
! grep -q 'smp: .*FAILED' "$log" || fail "a check between CPUs failed; see the lines above"
quiet_dmesg
