#!/bin/sh
# /init of L1: says what it is, loads KVM, runs L2 with this project's own program on it, and powers off.
# Command line: nb.mode=boot (no L2), demo, bench, l2bench; nb.nonce=TEXT; nb.l2cpus=N; nb.kvm=PARAMETERS,... ;
# nb.runs=N (L2 that many times).
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
say() { echo "NB L1 $*"; }
arg() { sed -n "s/.*nb\.$1=\([^ ]*\).*/\1/p" /proc/cmdline; }
mode=$(arg mode)

say up "$(cut -d' ' -f1 /proc/uptime)"
say kernel "$(uname -sr)"
say cpus "$(nproc)"
say vendor "$(sed -n 's/^vendor_id[^:]*: //p' /proc/cpuinfo | head -n 1)"
say model "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"
say flags "$(grep -m 1 -o -w -E 'vmx|svm' /proc/cpuinfo | head -n 1)"

load_kvm() {
    other=kvm_amd
    [ "$(arg cpu)" = amd ] && other=kvm_intel
    grep -q -w svm /proc/cpuinfo && other=kvm_intel
    while read -r module; do
        [ "$module" = "$other.ko" ] && continue
        [ "$module" = ccp.ko ] && [ "$other" = kvm_amd ] && continue
        parameters=
        case $module in kvm_intel.ko | kvm_amd.ko) parameters=$(arg kvm | tr , ' ') ;; esac
        if insmod "/modules/$module" $parameters 2>/tmp/error; then
            say module "${module%.ko}" loaded
        elif [ "$module" = ccp.ko ]; then
            say module ccp "not usable here, and not needed"
        else
            say module "${module%.ko}" failed "$(cat /tmp/error)"
        fi
    done </modules/order
}

run_l2() {
    say l2 starting "$(cut -d' ' -f1 /proc/uptime)"
    nestbox run --accel kvm --kernel /l2/vmlinuz --initrd /l2/initrd --memory "$(arg l2memory | grep . || echo 160M)" \
        --cpus "$(arg l2cpus | grep . || echo 1)" --no-reboot --timeout "$(arg l2timeout | grep . || echo 300)" \
        --append "console=ttyS0 panic=-1 quiet nb.mode=$1 nb.nonce=$(arg nonce)" </dev/null
    say l2 exit $?
}

case $mode in
demo | l2)
    load_kvm
    runs=$(arg runs | grep . || echo 1)
    for run in $(seq "$runs"); do
        [ "$runs" -gt 1 ] && say run "$run"
        run_l2 demo
    done
    ;;
bench) loops all | sed 's/^/NB L1 bench /' ;;
l2bench)
    loops all | sed 's/^/NB L1 bench /'
    load_kvm
    run_l2 bench
    ;;
esac
dmesg | grep -E 'WARNING:|BUG:|Oops|stall|soft lockup|Call Trace|unchecked MSR|cut here' | head -n 5 | sed 's/^/NB L1 dmesg /'
say "done" "$(cut -d' ' -f1 /proc/uptime)"
poweroff -f
sleep 60
