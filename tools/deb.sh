#!/bin/bash
# `make deb`: builds build/deb/nestbox_VERSION_amd64.deb of what `make install` installs. It needs no debhelper: what a
# package has besides is made here, and packaging/debian has its scripts. The same sources give the same bytes; their
# time is SOURCE_DATE_EPOCH, or that of the last commit.
# There is no package nestbox-dev, because there is no header to ship: programs use the KVM API as it is.
# usage: deb.sh [OUTPUT-FOLDER]
set -eu
here=$(dirname "$0")
. "$here/need.sh"
need_build
need dpkg-dev binutils
out=${1:-build/deb}
make -s -j2 all
umask 022
export LC_ALL=C
version=$(sed -n 's/^#define NESTBOX_VERSION "\(.*\)"/\1/p' src/cli/version.c)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y src/cli/version.c)}
export SOURCE_DATE_EPOCH
maintainer='nestbox maintainers <maintainers@nestbox.invalid>'
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
docs=$root/usr/share/doc/nestbox
make -s install PREFIX=/usr DESTDIR="$root"

# What the package of a distribution has otherwise than a folder of /usr/local.
strip --strip-unneeded "$root/usr/bin/nestbox" "$root/usr/lib/nestbox/libnestbox-kvm.so" \
    "$root/usr/lib/nestbox/nestbox-agent"
for name in nestbox-qemu nestbox-qemu-intel nestbox-qemu-amd; do
    ln -s nestbox.1.gz "$root/usr/share/man/man1/$name.1.gz"
done
gzip -9n "$root/usr/share/man/man1/nestbox.1"
mkdir -p "$root/usr/share/zsh/vendor-completions"
mv "$root/usr/share/zsh/site-functions/_nestbox" "$root/usr/share/zsh/vendor-completions/"
rmdir "$root/usr/share/zsh/site-functions"
mkdir -p "$docs"
cp README.md SPEC.md "$docs/"
cp -r docs "$docs/docs"
cat >"$docs/copyright" <<END
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: nestbox

Files: *
Copyright: $(date -u -d "@$SOURCE_DATE_EPOCH" +%Y) the authors of nestbox
License: Apache-2.0
 On Debian systems the text of the license is in /usr/share/common-licenses/Apache-2.0.
END
printf 'nestbox (%s) unstable; urgency=medium\n\n  * Built from its sources; see README.md.\n\n -- %s  %s\n' \
    "$version" "$maintainer" "$(date -u -R -d "@$SOURCE_DATE_EPOCH")" | gzip -9n >"$docs/changelog.gz"
install -D -m 644 packaging/debian/lintian-overrides "$root/usr/share/lintian/overrides/nestbox"

# The libraries that the programs need, with their versions.
mkdir -p "$work/debian"
printf 'Source: nestbox\n\nPackage: nestbox\nArchitecture: amd64\n' >"$work/debian/control"
depends=$(cd "$work" && dpkg-shlibdeps -O --ignore-missing-info root/usr/bin/nestbox \
    root/usr/lib/nestbox/libnestbox-kvm.so 2>/dev/null | sed 's/^shlibs:Depends=//')
[ -n "$depends" ] || die 'dpkg-shlibdeps does not say what the programs need'
mkdir "$root/DEBIAN"
cat >"$root/DEBIAN/control" <<END
Package: nestbox
Version: $version
Architecture: amd64
Maintainer: $maintainer
Installed-Size: $(du -sk --apparent-size --exclude=DEBIAN "$root" | cut -f1)
Depends: $depends
Recommends: qemu-system-x86, qemu-utils, ovmf, swtpm, dnsmasq-base, nftables
Suggests: $("$here/../src/image/build.sh" --needs | sed 's/ qemu-utils//; s/ /, /g'), uidmap, virt-viewer
Section: admin
Priority: optional
Description: virtual machines that can run virtual machines
 nestbox gives a virtual machine Intel VT-x or AMD-V on any x86-64 Linux host,
 whether or not the host's CPU or kernel has it to give. It defines, starts and
 saves VMs, connects them by virtual switches and NAT, and builds their images.
END
cp packaging/debian/postinst packaging/debian/prerm packaging/debian/postrm "$root/DEBIAN/"
chmod 755 "$root"/DEBIAN/postinst "$root"/DEBIAN/prerm "$root"/DEBIAN/postrm
(cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
find "$root" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group -Zxz --build "$root" "$out/nestbox_${version}_amd64.deb" >/dev/null
say "$out/nestbox_${version}_amd64.deb"
