# shellcheck shell=sh
# Sourced by the scripts here: `need PACKAGE...` installs what is missing of Debian's packages, if root runs it; `say`
# prints a line of progress.

say() {
    printf '%s\n' "$*" >&2
}

die() {
    say "$0: $*"
    exit 1
}

need() {
    missing=
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
            missing="$missing $package"
    done
    [ -z "$missing" ] && return 0
    [ "$(id -u)" = 0 ] || die "missing packages; as root: apt-get install$missing"
    say "installing$missing"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086
    apt-get install -y -q --no-install-recommends $missing >/dev/null 2>&1 && return 0
    apt-get update -q >/dev/null 2>&1 || say "apt-get update failed; going on with what it knows"
    # shellcheck disable=SC2086
    apt-get install -y -q --no-install-recommends $missing >&2 || die "cannot install$missing"
}

# What building the project takes.
need_build() {
    need gcc make libc6-dev libzydis-dev zlib1g-dev binutils
}
