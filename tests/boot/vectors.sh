#!/bin/bash
# SSE registers survive interrupts, system calls, page faults and context switches, with one CPU and with two.
# cases: cpu1 cpu2
set -u
. "$(dirname "$0")/guest.sh"
init_from "$(dirname "$0")/vectors.c"
boot_l1 off "${1#cpu}" quiet || fail "exit status $?"
expect 'vectors: kept'
