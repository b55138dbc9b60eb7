#!/bin/sh
# For the Makefile, before it compiles first: looks whether this machine has what building takes. If not, prints what is
# missing and how to get it, and fails.
# usage: build-check.sh COMPILER
. "$(dirname "$0")/need.sh"
compiler=$1

has() { # HEADER, or - for a program
    # shellcheck disable=SC2086
    [ "$1" = - ] || printf '#include <%s>\n' "$1" | $compiler -E -x c -o /dev/null - 2>/dev/null
}

missing=
tools=yes
for program in "${compiler%% *}" ar; do
    command -v "$program" >/dev/null || tools=
done
for entry in $build_packages; do
    # Without a compiler nobody can look for headers, so all packages are named.
    [ -n "$tools" ] && has "${entry#*:}" || missing="$missing ${entry%%:*}"
done
[ -n "$missing" ] || exit 0
say "nestbox cannot be built here yet; missing:$missing"
say "On Debian, as root: apt-get install$missing"
exit 1
