# shellcheck shell=bash disable=SC2154
# Sourced by the boot tests: starts L1 from the images of `make test` and judges its log.

NB=${NB:-build/release/nestbox}
kernel=build/debs/vmlinuz
initrd=build/guest/l1.cpio
deep=
direct=
[ -e $kernel ] && [ -e $initrd ] || { echo "no kernel or image: see tools/test.sh"; exit 77; }
. tests/program.sh
work=$(mktemp -d)
log=$work/log
trap 'rm -rf "$work"' EXIT

fail() {
    cat "$log"
    echo "FAILED: $*"
    exit 1
}

needs_direct() {
    "$NB" doctor | grep -q '^  --direct       works' && return
    echo "no direct execution here: see nestbox doctor"
    exit 77
}

# $work/root becomes the guest's initial RAM disk.
pack_root() {
    mkdir -p "$work/root/dev"
    mknod -m 600 "$work/root/dev/console" c 5 1 2>/dev/null || { echo "making /dev/console takes root"; exit 77; }
    initrd=$work/initrd
    (cd "$work/root" && find . | cpio --quiet -o -H newc) >"$initrd"
}

# Makes an initial RAM disk for the guest that has nothing but the program of source file $1, as /init.
init_from() {
    mkdir -p "$work/root"
    ${CC:-gcc} -std=gnu17 -O1 -Wall -Wextra -Wno-unused-parameter -static -pthread -D_GNU_SOURCE \
        -o "$work/root/init" "$1" ||
        fail "cannot build $1"
    pack_root
}

# Makes the RAM disk that is there now that of L2, which L1's nestbox starts on its KVM: $append becomes L1's.
l2_image() { # vendor
    mkdir -p "$work/l1/extra"
    cp "$initrd" "$work/l1/extra/initrd"
    printf '#!/bin/sh\nexec nestbox run --accel kvm --nested off --kernel /l2/vmlinuz %s --append "%s" </dev/null\n' \
        '--initrd /extra/initrd --memory 256M --no-reboot --timeout 400' "console=ttyS0 panic=-1 $append" \
        >"$work/l1/extra/run"
    chmod +x "$work/l1/extra/run"
    (cd "$work/l1" && find . | cpio --quiet -o -H newc) >"$work/l1.cpio"
    initrd=build/guest/l1.cpio deep=$work/l1.cpio
    append="$append nb.mode=extra nb.cpu=$1"
}

# Prints the digest that L2 and deeper guests print in mode demo with the nonce $1: tools/guest-init-l2.sh.
work_digest() {
    seq 1 20000 | sed "s/\$/ $1/" | sha256sum | cut -d' ' -f1
}

# L1 gets its own image to run as L2.
deep_image() {
    mkdir -p "$work/deep/l2"
    ln -s "$PWD/$initrd" "$work/deep/l2/deep"
    (cd "$work/deep" && find . | cpio --quiet -o -L -H newc) >"$work/deep.cpio"
    deep=$work/deep.cpio
}

boot_l1() { # nested, cpus, command line
    "$NB" run --accel "${accel:-engine}" --kernel $kernel --initrd "$initrd" ${deep:+--initrd "$deep" --stats} \
        --memory 1G --cpus "$2" --nested "$1" ${direct:+--direct "$direct" --stats} ${mapped:+--mapped "$mapped"} \
        --no-reboot --timeout "${BOOT_TIMEOUT:-500}" --append "console=ttyS0 panic=-1 $3" </dev/null >"$log" 2>&1
    local status=$?
    sed -i 's/\r*$//' "$log"
    return $status
}

expect() {
    grep -q -- "$1" "$log" || fail "not seen: $1"
}

# Fails if the guests' kernel logs have what a real machine would not show.
quiet_dmesg() {
    local complaints='NB L[123] dmesg|WARNING: CPU|BUG:|Oops|\<stalls?\>|soft lockup|unchecked MSR'
    ! grep -E "$complaints|Unhandled (RD|WR)MSR|Kernel panic" "$log" |
        grep . || fail "complaints in the kernel's log"
}
