#!/bin/bash
# Builds what `make bench-real` starts, in build/real/: `tree`, a file tree of Debian's packages with the data that
# tests/perf/real/prepare.py makes, and `tree.cpio`, the same as an initial RAM disk. Packages stay in
# build/real/archives. It needs root. What is there already and has the same packages and data stays.
# usage: real-tree.sh
set -eu
here=$(dirname "$0")
. "$here/need.sh"
packages='python3 perl gcc libc6-dev make sqlite3 nodejs git openssl xz-utils bc gawk nginx-light apache2-utils
postgresql postgresql-contrib cpio iproute2 procps busybox-static'
# Nothing of the programs uses these, and all levels have the tree in memory.
unused='usr/share/doc usr/share/man usr/share/locale usr/share/i18n usr/share/info usr/lib/x86_64-linux-gnu/libLLVM*
usr/lib/x86_64-linux-gnu/libz3.so* usr/bin/*lto-dump* usr/lib/gcc/x86_64-linux-gnu/*/lto*
usr/lib/gcc/x86_64-linux-gnu/*/lib?san.so usr/lib/x86_64-linux-gnu/lib?san.so*
var/cache/* var/lib/apt/lists/* var/lib/postgresql/* var/log/*'
prepare=tests/perf/real/prepare.py
out=build/real
[ "$(id -u)" = 0 ] || die "this needs root: the tree is a chroot, with programs of several users"
need mmdebstrap cpio
key=$(echo "$packages$unused" | sha256sum | cut -c1-16)
data_key=$({ echo "$key" && cat "$prepare" "$0"; } | sha256sum | cut -c1-16)
[ "$(cat $out/key 2>/dev/null)" != "$key $data_key" ] || exit 0
mkdir -p $out/archives
out=$(readlink -f $out)

# The packages, without the data.
install_tree() {
    local sources suite
    rm -rf "$out/tree" "$out/key"
    sources=$(apt-get indextargets --format '$(CREATED_BY)|$(ORIGIN)|$(SITE)|$(RELEASE)|$(COMPONENT)' 2>/dev/null |
        sed -n 's/^Packages|Debian|\([^|]*\)|\([^|]*\)|\([^|]*\)$/deb \1 \2 \3/p' | sort -u)
    suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}")
    say "installing Debian $suite with $(echo $packages | wc -w) packages into $out/tree (a minute or two)"
    # shellcheck disable=SC2016
    mmdebstrap --mode=root --variant=minbase --include="$(echo $packages | tr ' ' ,)" \
        --skip=output/dev,cleanup/apt/cache \
        --setup-hook='mkdir -p "$1/var/cache/apt/archives"' \
        --setup-hook="cp -l '$out/archives'/*.deb \"\$1/var/cache/apt/archives/\" 2>/dev/null || :" \
        --customize-hook="cp -ln \"\$1\"/var/cache/apt/archives/*.deb '$out/archives/'" \
        "$suite" "$out/tree" ${sources:+-} <<<"$sources" >"$out/log" 2>&1 || {
        tail -n 20 "$out/log" >&2
        die "mmdebstrap failed; the whole log is $out/log"
    }
    # shellcheck disable=SC2086
    (cd "$out/tree" && rm -rf $unused)
    echo "$key" >"$out/key"
}
[ "$(cut -d ' ' -f 1 "$out/key" 2>/dev/null)" = "$key" ] || install_tree

rm -rf "$out/tree.cpio" "$out/tree/real"
mkdir -p "$out/tree/real/data" "$out/tree/real/own"
cp "$prepare" "$out/tree/real/"
cd "$out/tree"
mkdir -p dev proc sys tmp run
cat >real/set-up <<'END'
set -eu
python3 /real/prepare.py /real/data
cd /real/data
openssl genrsa -out key.pem 4096 2>/dev/null
xz -k text16
install -d -o postgres -g postgres -m 700 /real/pg
cd /
setpriv --reuid postgres --regid postgres --clear-groups \
    /usr/lib/postgresql/15/bin/initdb --no-sync -A trust -D /real/pg
cat >>/real/pg/postgresql.conf <<'CONF'
listen_addresses = ''
unix_socket_directories = '/tmp/pg'
dynamic_shared_memory_type = mmap
fsync = off
jit = off
shared_buffers = 32MB
min_wal_size = 32MB
CONF
END
say "making the programs' data"
chroot . bash /real/set-up >>"$out/log" 2>&1 || {
    tail -n 20 "$out/log" >&2
    die "the data cannot be made; the whole log is $out/log"
}
rm real/set-up
say "packing $(du -sm . | cut -f 1) MiB"
find . | LC_ALL=C sort | cpio --quiet -o -H newc >"$out/tree.cpio"
echo "$key $data_key" >"$out/key"
