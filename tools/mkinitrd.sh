#!/bin/bash
# Makes the guests' initial RAM disks: OUT/l2.cpio (busybox and tests/perf/loops) and OUT/l1.cpio (the same, KVM's
# modules, this program with its libraries, and the L2 kernel and RAM disk inside). Their /init are guest-init-l1.sh and
# guest-init-l2.sh. OUT/net.cpio has modules for networks (and KVM's), to be put behind l2.cpio: /modules/order is the
# order of loading.
# usage: mkinitrd.sh DEBS NESTBOX LOOPS OUT
set -eu
here=$(dirname "$0")
. "$here/need.sh"
[ $# = 4 ] || die "usage: mkinitrd.sh DEBS NESTBOX LOOPS OUT"
debs=$1 nestbox=$2 loops=$3 out=$4
busybox=$(command -v busybox) || die "busybox-static is missing"
! readelf -lW "$busybox" | grep -q INTERP || die "busybox needs libraries: install busybox-static in its place"
mkdir -p "$out"

root() { # a bare user space in $1
    rm -rf "$1"
    mkdir -p "$1/bin" "$1/dev" "$1/proc" "$1/sys" "$1/tmp"
    cp "$busybox" "$1/bin/busybox"
    cp "$loops" "$1/bin/loops"
    strip "$1/bin/loops"
    for tool in sh mount cat echo uname grep sed cut head tail tr seq sha256sum insmod rmmod poweroff dmesg sleep \
        mknod nproc; do
        ln -s busybox "$1/bin/$tool"
    done
}

pack() { # $1 into the archive $2; the console must exist before devtmpfs is mounted
    (cd "$1" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0) >"$2.new"
    mv "$2.new" "$2"
}

module() { # copies module $1 below $2 after what it depends on, and writes the order of loading
    local name file dependency
    name=$(printf '%s' "$1" | tr - _)
    grep -qx "$name.ko" "$2/modules/order" && return 0
    file=$(find "$debs/modules" -name "$1.ko" -o -name "$(printf '%s' "$1" | tr _ -).ko" | head -n 1)
    if [ -z "$file" ]; then
        grep -q "/$(printf '%s' "$1" | tr _ -).ko" "$debs/modules/modules.builtin" 2>/dev/null && return 0
        die "no module $1 in $debs/modules"
    fi
    for dependency in $(readelf -p .modinfo "$file" | sed -n 's/.*depends=//p' | tr , ' '); do
        module "$dependency" "$2"
    done
    cp "$file" "$2/modules/$name.ko"
    echo "$name.ko" >>"$2/modules/order"
}

modules() { # below $1: all others, and what they depend on
    local below=$1 name
    mkdir -p "$below/modules"
    : >"$below/modules/order"
    shift
    for name; do module "$name" "$below"; done
}

root "$out/l2"
cp "$here/guest-init-l2.sh" "$out/l2/init"
chmod 755 "$out/l2/init"
pack "$out/l2" "$out/l2.cpio"

root "$out/l1"
cp "$here/guest-init-l1.sh" "$out/l1/init"
chmod 755 "$out/l1/init"
mkdir -p "$out/l1/l2"
modules "$out/l1" irqbypass kvm kvm_intel kvm_amd
cp "$nestbox" "$out/l1/bin/nestbox"
strip "$out/l1/bin/nestbox"
for library in $(ldd "$nestbox" |
    sed -n 's/.*=> \(\/[^ ]*\).*/\1/p; s/^[[:space:]]*\(\/[^ ]*ld-linux[^ ]*\).*/\1/p'); do
    mkdir -p "$out/l1$(dirname "$library")"
    cp -L "$library" "$out/l1$library"
done
# The C library loads this one by itself when a thread is cancelled.
for library in /lib/x86_64-linux-gnu/libgcc_s.so.1 /usr/lib/x86_64-linux-gnu/libgcc_s.so.1; do
    [ -e "$library" ] && cp -L "$library" "$out/l1/lib/x86_64-linux-gnu/" && break
done
cp "$debs/vmlinuz" "$out/l1/l2/vmlinuz"
cp "$out/l2.cpio" "$out/l1/l2/initrd"
pack "$out/l1" "$out/l1.cpio"

rm -rf "$out/net"
modules "$out/net" irqbypass kvm kvm_intel kvm_amd virtio_pci virtio_net tun bridge 8021q crc32c_generic nf_tables \
    nft_chain_nat nft_masq
pack "$out/net" "$out/net.cpio"
