#!/bin/bash
# Debian's kernel runs in QEMU on the engine as a guest that knows KVM or Hyper-V, and has nothing to complain about in
# its clocks; and under gdb by QEMU's stub: steps, breakpoints of both kinds, a watchpoint.
# cases: kvm-intel kvm-amd hyperv-intel hyperv-amd gdb-intel
# more cases: gdb-amd
set -u
. "$(dirname "$0")/guest.sh"
what=${1%-*} vendor=${1#*-}
command -v qemu-system-x86_64 >/dev/null || { echo 'qemu-system-x86 is missing'; exit 77; }

case $vendor in intel) cpu=host,vendor=GenuineIntel ;; *) cpu=host,vendor=AuthenticAMD ;; esac
hyperv=kvm=off
for property in relaxed vapic spinlocks=0x1fff vpindex runtime crash time synic stimer stimer-direct reset frequencies \
    tlbflush ipi xmm-input; do
    hyperv=$hyperv,hv-$property
done

boot() { # CPU ARGUMENT...
    local cpu=$1
    shift
    timeout 300 "$NB" kvm --accel engine --nested "$vendor" -- qemu-system-x86_64 -accel kvm -machine q35 -cpu "$cpu" \
        -m 512M -display none -nodefaults -no-reboot -kernel $kernel -initrd "$initrd" \
        -append "console=ttyS0 panic=-1 nb.mode=boot nokaslr" "$@"
}

clocks_fine() {
    sed -i 's/\r*$//' "$log"
    expect 'NB L1 done'
    ! grep -E 'Unable to calibrate|due to clocksource watchdog|MP-BIOS|TSC warp' "$log" || fail 'trouble with clocks'
    ! grep -E 'WARNING: CPU|BUG:|Oops|soft lockup|unchecked MSR|Kernel panic' "$log" || fail 'complaints of the kernel'
}

case $what in
kvm)
    boot $cpu -smp 2 -serial stdio </dev/null >"$log" 2>&1 || fail "exit status $?"
    clocks_fine
    expect 'kvm-clock: Using msrs 4b564d01'
    expect 'KVM setup pv remote TLB flush'
    ;;
hyperv)
    boot $cpu,$hyperv -smp 2 -serial stdio </dev/null >"$log" 2>&1 || fail "exit status $?"
    clocks_fine
    expect 'Switched to clocksource hyperv_clocksource_tsc_page'
    expect 'Hyper-V: Using hypercall for remote TLB flush'
    expect 'Hyper-V: Using IPI hypercalls'
    ;;
gdb)
    command -v gdb >/dev/null || { echo 'gdb is missing'; exit 77; }
    boot $cpu -smp 1 -S -chardev "socket,id=gdb,path=$work/gdb,server=on,wait=off" -gdb chardev:gdb \
        </dev/null >"$work/qemu.log" 2>&1 &
    for ((i = 0; i < 100; i++)); do
        [ -S "$work/gdb" ] && break
        sleep 0.2
    done
    cat >"$work/commands" <<'COMMANDS'
set pagination off
set architecture i386:x86-64
printf "reset %lx\n", $pc
stepi
stepi
hbreak *0x1000000
continue
printf "kernel %lx\n", $pc
delete
stepi
printf "step %lx\n", $pc
set $second = $pc
stepi
break *$pc
set $pc = $second
continue
printf "breakpoint %d\n", $pc > $second
delete
watch *(long*)($rsp-8)
continue
printf "watchpoint %d\n", *(long*)($rsp-8) != 0 || *(long*)$rsp != 0
kill
COMMANDS
    timeout 200 gdb -q -batch -ex "target remote $work/gdb" -x "$work/commands" >"$log" 2>&1 ||
        fail "gdb ends with $?"
    wait
    expect '^reset fff0$'
    expect '^kernel 1000000$'
    expect '^step 1000007$'
    expect '^breakpoint 1$'
    expect '^watchpoint 1$'
    expect '^Breakpoint 2, '
    expect 'atchpoint 3:'
    ;;
esac
