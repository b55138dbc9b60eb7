#!/bin/bash
# Debian's Xen on each vendor: it finds the virtualization extensions, and its dom0, Debian's kernel, does its work.
# cases: intel amd intel-smp amd-smp
set -u
. "$(dirname "$0")/guest.sh"
. "$(dirname "$0")/package.sh"
which=${1:-intel}
nested=${which%-smp}
cpus=1
[ "$nested" = "$which" ] || cpus=2
unpack xen-hypervisor-4.17-amd64 amd64
nonce=xen$$
"$NB" run --accel engine --nested "$nested" --cpus "$cpus" --memory 1G --no-reboot --timeout 300 \
    --kernel "$packages"/xen-hypervisor-4.17-amd64/boot/xen-4.17-amd64.gz \
    --append 'console=com1 com1=115200,8n1 loglvl=all dom0_mem=512M noreboot' \
    --initrd "$kernel console=hvc0 panic=-1 nb.nonce=$nonce" --initrd build/guest/l2.cpio </dev/null >"$log" 2>&1 ||
    fail "exit status $?"
sed -i 's/\r*$//' "$log"
case $nested in intel) extension=VMX ;; *) extension=SVM ;; esac
expect "(XEN) HVM: $extension enabled"
expect '(XEN) HVM: Hardware Assisted Paging (HAP) detected'
expect "(XEN) Brought up $cpus CPUs"
expect 'NB L2 hypervisor Xen PV'
expect "NB L2 cpus $cpus"
expect "NB L2 sha256 $(work_digest $nonce)"
expect 'NB L2 done'
! grep -E -e 'WARNING|BUG|Oops|\<stalls?\>|soft lockup|unchecked MSR|Kernel panic' \
    -e '\(XEN\).*(FATAL|Panic|Assertion|Xen WARN)' "$log" ||
    fail 'complaints in the log'
