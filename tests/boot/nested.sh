#!/bin/bash
# Debian's own KVM in L1 runs L2 Linux, which does its work. Each vendor, with and without the second stage of paging,
# and with two CPUs on both levels; *20: twenty times in a row.
# cases: intel amd intel-ept0 amd-npt0 intel-smp amd-smp
set -u
. "$(dirname "$0")/guest.sh"
which=${1:-intel}
nested=${which%%-*}
cpus=1 extra='' runs=1
case $which in
*-ept0) extra=nb.kvm=ept=0 ;;
*-npt0) extra=nb.kvm=npt=0 ;;
*-smp) cpus=2 extra=nb.l2cpus=2 ;;
*-20) runs=20 ;;
esac
nonce=test$$
boot_l1 "$nested" "$cpus" "nb.mode=demo nb.cpu=$nested nb.nonce=$nonce nb.runs=$runs $extra" || fail "exit status $?"
case $nested in intel) flag=vmx ;; *) flag=svm ;; esac
expect "NB L1 flags $flag"
expect "NB L1 module kvm_$nested loaded"
want=$(seq 1 20000 | sed "s/\$/ $nonce/" | sha256sum | cut -d' ' -f1)
[ "$(grep -c "NB L2 sha256 $want" "$log")" = "$runs" ] || fail "L2 did not do its work $runs times"
[ "$(grep -c 'NB L1 l2 exit 0' "$log")" = "$runs" ] || fail "L2 did not end well $runs times"
[ "$cpus" = 1 ] || expect 'NB L2 cpus 2'
expect 'NB L1 done'
quiet_dmesg
