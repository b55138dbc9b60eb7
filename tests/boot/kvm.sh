#!/bin/bash
# The host's own KVM, where it runs kernels: Debian by --accel kvm, with one CPU and two; and where it nests, Debian's
# KVM with L2 in that.
# cases: cpu1 cpu2 nested
set -u
. "$(dirname "$0")/guest.sh"
kvm=$("$NB" doctor --json | sed -n 's/^ *"kvm": //p')
case $kvm in
*'"usable": true'*) ;;
*) sed 's/.*"reason": "\(.*\)".*/\1/' <<<"$kvm"; exit 77 ;;
esac
accel=kvm
if [ "${1:-cpu1}" = nested ]; then
    case $kvm in
    *'"nests_intel": true'*) vendor=intel ;;
    *'"nests_amd": true'*) vendor=amd ;;
    *) echo "this host's KVM does not nest"; exit 77 ;;
    esac
    boot_l1 $vendor 1 "nb.mode=demo nb.cpu=$vendor nb.nonce=test$$" || fail "exit status $?"
    expect "NB L2 sha256 $(work_digest test$$)"
    expect 'NB L1 l2 exit 0'
else
    boot_l1 off "${1#cpu}" nb.mode=boot || fail "exit status $?"
    expect "NB L1 cpus ${1#cpu}"
fi
expect 'NB L1 done'
quiet_dmesg
