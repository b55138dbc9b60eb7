#!/bin/bash
# Linux's interrupts of the real-time clock: updates, periodic, alarms; an alarm wakes it out of "freeze". intel, amd:
# Linux takes the ACPI alarm, after the CPU's vendor and the date of the SMBIOS; direct: IRQ 8. What Linux does with the
# HPET's timer 1 on older PCs is in the guest rtc.
# cases: intel amd direct
set -u
. "$(dirname "$0")/guest.sh"
init_from "$(dirname "$0")/rtc.c"
vendor=${1:-intel} extra=
[ "$vendor" != direct ] || vendor=off extra=hpet=disable
boot_l1 "$vendor" 1 "$extra loglevel=6" || fail "exit status $?"
expect 'rtc: done'
! grep -q 'rtc: .*FAILED' "$log" || fail 'a check of the clock failed; see the lines above'
[ "$(grep -c 'rtc: .* ok' "$log")" = 11 ] || fail 'not all checks ran'
quiet_dmesg
