#!/bin/bash
# The Debian package: the same bytes twice, lintian finds no error, and installed, used and purged it leaves nothing.
# The machine is not touched: that happens over it, in a mount namespace.
# more cases: package
# limit: 900
cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
check() { # NAME COMMAND...
    local name=$1
    shift
    if "$@" >"$work/said" 2>&1; then echo "ok $name"; else
        printf 'not ok %s\n%s\n' "$name" "$(tail -n 20 "$work/said")"
        failed=1
    fi
}
[ "$(id -u)" = 0 ] || { echo 'dpkg takes root' && exit 77; }
. tools/need.sh
need lintian

check 'it is built' tools/deb.sh "$work"
deb=$(echo "$work"/nestbox_*.deb)
check 'and again' tools/deb.sh "$work/again"
check 'with the same bytes' cmp "$deb" "$work/again/$(basename "$deb")"
check 'lintian' lintian --fail-on error --allow-root "$deb"

cat >"$work/inside" <<'END'
mount -t tmpfs over "$1" && mkdir "$1/upper" "$1/work" "$1/root" &&
    mount -t overlay over -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root" || exit 77
root=$1/root
cp "$2" "$root/nestbox.deb"
rm -rf "$root/var/lib/nestbox" "$root/run/nestbox"
chroot "$root" env -u NESTBOX_HOME sh -euc '
    there() {
        find /usr /etc /var -xdev -not -path "/var/lib/dpkg/*" -not -path "/var/log/*" -not -path "/var/cache/*" | sort
    }
    before=$(there)
    dpkg -i /nestbox.deb
    nestbox version
    nestbox create lab
    nestbox list | grep lab
    [ -x /usr/lib/nestbox/image-build ]
    man -w nestbox-qemu 2>/dev/null || [ -e /usr/share/man/man1/nestbox-qemu.1.gz ]
    dpkg -r nestbox
    [ -e /var/lib/nestbox/vms/lab/vm.json ]
    dpkg -P nestbox
    [ "$(there)" = "$before" ]'
END
mkdir "$work/over"
unshare -m bash "$work/inside" "$work/over" "$deb" >"$work/said" 2>&1
case $? in
0) echo 'ok installed, used, removed and purged, nothing is left' ;;
77) echo 'no overlay can be mounted here, so it is not installed' ;;
*)
    printf 'not ok installed, used, removed, purged\n%s\n' "$(tail -n 20 "$work/said")"
    failed=1
    ;;
esac
exit $failed
