#!/bin/sh
# Unpacks Debian's kernel for the guests into DIR (default build/debs): DIR/vmlinuz and DIR/modules/**/*.ko. The package
# is downloaded, never installed. Debs already in $NESTBOX_DEBS are used instead of a download.
set -eu
here=$(dirname "$0")
. "$here/need.sh"
dir=${1:-build/debs}
# What the guests of the tests need of its modules: KVM; virtio, bridges, VLANs, NAT.
parts='arch virt crypto lib drivers/crypto drivers/char drivers/virtio drivers/net/virtio_net.ko
    drivers/net/net_failover.ko drivers/net/tun.ko net/core net/802 net/8021q net/llc net/bridge net/netfilter net/ipv4
    net/ipv6'
[ "$(cat "$dir/done" 2>/dev/null)" = "$parts" ] && exit 0
mkdir -p "$dir"

deb=
for cache in ${NESTBOX_DEBS:-} "$dir"; do
    for f in "$cache"/linux-image-[0-9]*-amd64_*_amd64.deb; do
        [ -e "$f" ] && deb=$f
    done
    [ -n "$deb" ] && break
done
if [ -z "$deb" ]; then
    [ -n "$(apt-cache policy linux-image-amd64 2>/dev/null | grep Candidate)" ] ||
        apt_get 'updating the list of packages' 100 update
    package=$(apt-cache depends linux-image-amd64 | sed -n 's/^ *Depends: *\(linux-image-[0-9].*\)/\1/p' | head -n 1)
    [ -n "$package" ] || die "apt knows no package linux-image-amd64; is this Debian, and has apt-get update run?"
    get() { (cd "$dir" && apt_get "downloading $package" 100 download "$package"); }
    get || {
        apt_get 'updating the list of packages' 100 update
        get || die "cannot download $package"
    }
    deb=$(ls "$dir"/linux-image-[0-9]*-amd64_*_amd64.deb | tail -n 1)
fi

say "unpacking $(basename "$deb")"
rm -rf "$dir/unpacked" "$dir/modules"
mkdir -p "$dir/unpacked"
set -f
# shellcheck disable=SC2086
dpkg-deb --fsys-tarfile "$deb" | tar x -C "$dir/unpacked" --wildcards './boot/vmlinuz-*' \
    $(printf './lib/modules/*/kernel/%s\n' $parts)
set +f
cp "$dir"/unpacked/boot/vmlinuz-* "$dir/vmlinuz"
mv "$dir"/unpacked/lib/modules/* "$dir/modules"
rm -rf "$dir/unpacked"
printf '%s\n' "$parts" >"$dir/done"
