#!/bin/bash
# `make` without what building takes: two lines that name the packages and the command that installs them.
cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
expect() { # NAME, WANT; the text is in $work/out
    grep -qxF -- "$2" "$work/out" && echo "ok $1" && return
    printf 'not ok %s\n%s\n' "$1" "$(cat "$work/out")"
    failed=1
}

printf '#!/bin/sh\n! grep -qE "Zydis|zlib"\n' >"$work/cc" # a compiler that does not find two headers
chmod 755 "$work/cc"
make O="$work/o" CC="$work/cc" >"$work/out" 2>&1 && echo 'not ok: make goes on' && failed=1
expect 'what is missing' 'nestbox cannot be built here yet; missing: libzydis-dev zlib1g-dev'
expect 'and how to get it' 'On Debian, as root: apt-get install libzydis-dev zlib1g-dev'
[ "$(grep -c 'error:' "$work/out")" = 0 ] || { echo 'not ok: the compiler has errors' && failed=1; }
make O="$work/o" CC="$work/none" >"$work/out" 2>&1
expect 'no compiler' "On Debian, as root: apt-get install gcc make binutils libc6-dev libzydis-dev zlib1g-dev \
liblzma-dev libzstd-dev libjansson-dev libslirp-dev libedit-dev"
tools/build-check.sh "${CC:-gcc}" >"$work/out" 2>&1 || { echo 'not ok: this machine builds' && failed=1; }
exit $failed
