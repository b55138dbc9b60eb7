#!/bin/bash
# Debian's own KVM in L1 runs L2 Linux, which does its work. Each vendor; with several CPUs on both levels; with what
# KVM may use of the hardware switched off, one thing after the other; L2 as the host of an L3, by KVM and by this
# program's engine. intel-20, amd-20, intel-smp-20, amd-smp-20, not run by default: twenty times in a row.
# cases: intel amd intel-smp amd-smp intel-parameters amd-parameters intel-deep amd-deep intel-engine
# limit: 1200
set -u
. "$(dirname "$0")/guest.sh"
BOOT_TIMEOUT=1100 # of a busy host
which=${1:-intel}
nested=${which%%-*}
cpus=1 extra='' runs=1 count=1 deepest=2
case $which in
*-smp*) cpus=2 extra=nb.l2cpus=2 ;;
intel-parameters)
    sets='ept=0 ept=0,vpid=0 unrestricted_guest=0 eptad=0 vnmi=0 flexpriority=0 enable_shadow_vmcs=0 enable_apicv=0'
    sets="$sets preemption_timer=0 pml=0 nested=0"
    ;;
amd-parameters) sets='npt=0 npt=0,vgif=0,vls=0 nrips=0 vgif=0 vls=0 lbrv=0 nested=0' ;;
*-deep) extra='nb.deep=kvm' deepest=3 ;;
*-engine) extra='nb.deep=engine' deepest=3 ;;
esac
case $which in
*-20) runs=20 count=20 ;;
*-parameters)
    extra=nb.kvm=${sets// /:}
    count=$(wc -w <<<"$sets")
    ;;
*-deep | *-engine) deep_image ;;
esac
nonce=test$$
boot_l1 "$nested" "$cpus" "nb.mode=demo nb.cpu=$nested nb.nonce=$nonce nb.runs=$runs $extra" || fail "exit status $?"
case $nested in intel) flag=vmx ;; *) flag=svm ;; esac
expect "NB L1 flags $flag"
expect "NB L1 module kvm_$nested loaded"
digest=$(work_digest $nonce)
[ "$(grep -c "NB L$deepest sha256 $digest" "$log")" = "$count" ] || fail "L$deepest did not do its work $count times"
[ "$(grep -c 'NB L1 l2 exit 0' "$log")" = "$count" ] || fail "L2 did not end well $count times"
[ "$cpus" = 1 ] || expect "NB L2 cpus $cpus"
expect 'NB L1 done'
# The engine counts L3's VM exits apart from L2's.
case $which in *-deep)
    expect 'VM exits of L2 to L1: .* VMRUN$\|VM exits of L2 to L1: .* VMRESUME$'
    expect 'VM exits of L3 to L1: .* CPUID$'
    ;;
esac
quiet_dmesg
