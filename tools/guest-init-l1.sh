#!/bin/sh
# /init of L1: says what it is, loads KVM, runs L2 with this project's own program on it, and powers off.
# Command line: nb.mode=boot (no L2), demo, bench, l2bench, extra; nb.nonce=TEXT; nb.l2cpus=N; nb.kvm=PARAMETERS,...
# (several sets with : between them: KVM is loaded anew and runs L2 with each); nb.runs=N (L2 that many times);
# nb.deep=kvm or engine: L2 is like L1, from the image /l2/deep, and runs an L3 on that.
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
arg() { sed -n "s/.*nb\.$1=\([^ ]*\).*/\1/p" /proc/cmdline; }
level=$(arg level | grep . || echo 1)
say() { echo "NB L$level $*"; }
mode=$(arg mode)

say up "$(cut -d' ' -f1 /proc/uptime)"
say kernel "$(uname -sr)"
say cpus "$(nproc)"
say vendor "$(sed -n 's/^vendor_id[^:]*: //p' /proc/cpuinfo | head -n 1)"
say model "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"
say flags "$(grep -m 1 -o -w -E 'vmx|svm' /proc/cpuinfo | head -n 1)"

load_kvm() { # parameters of kvm_intel or kvm_amd, with commas
    other=kvm_amd
    [ "$(arg cpu)" = amd ] && other=kvm_intel
    grep -q -w svm /proc/cpuinfo && other=kvm_intel
    while read -r module; do
        [ "$module" = "$other.ko" ] && continue
        [ "$module" = ccp.ko ] && [ "$other" = kvm_amd ] && continue
        parameters=
        case $module in kvm_intel.ko | kvm_amd.ko) parameters=$(echo "$1" | tr , ' ') ;; esac
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
    image=/l2/initrd memory=160M nested=off next=
    if [ -n "$(arg deep)" ]; then
        image=/l2/deep memory=512M next="nb.accel=$(arg deep) nb.cpu=$(arg cpu)"
        [ "$(arg deep)" = kvm ] && nested=$(arg cpu)
    fi
    nestbox run --accel "$(arg accel | grep . || echo kvm)" --nested "$nested" --kernel /l2/vmlinuz --initrd $image \
        --memory "$(arg l2memory | grep . || echo $memory)" --cpus "$(arg l2cpus | grep . || echo 1)" --no-reboot \
        --timeout "$(arg l2timeout | grep . || echo 300)" \
        --append "console=ttyS0 panic=-1 quiet nb.mode=$1 nb.nonce=$(arg nonce) nb.level=$((level + 1)) $next" \
        </dev/null
    say l2 exit $?
}

case $mode in
demo | l2)
    runs=$(arg runs | grep . || echo 1)
    sets=$(arg kvm | tr : ' ')
    for set in ${sets:-default}; do
        [ "$set" = default ] || say kvm "$set"
        [ "$(arg accel)" = engine ] || load_kvm "${set#default}"
        for run in $(seq "$runs"); do
            [ "$runs" -gt 1 ] && say run "$run"
            run_l2 demo
        done
        rmmod kvm_intel kvm_amd kvm irqbypass 2>/dev/null
    done
    ;;
bench) loops all | sed 's/^/NB L1 bench /' ;;
extra) # KVM is loaded, and the program of another image runs
    load_kvm "$(arg kvm)"
    /extra/run
    say extra exit $?
    ;;
l2bench)
    loops all | sed 's/^/NB L1 bench /'
    load_kvm "$(arg kvm)"
    run_l2 bench
    ;;
esac
dmesg | grep -E 'WARNING:|BUG:|Oops|\<stalls?\>|soft lockup|Call Trace|unchecked MSR|cut here' |
    head -n 5 | sed "s/^/NB L$level dmesg /"
say "done" "$(cut -d' ' -f1 /proc/uptime)"
poweroff -f
sleep 60
