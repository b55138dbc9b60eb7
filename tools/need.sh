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

# Prints each tenth part that is done, on one line. Standard input has lines WHAT:N:PERCENT: of which `dlstatus` is the
# first $1 percent of the whole and `pmstatus` the rest: apt-get's words for downloading and installing.
progress() {
    shown=0
    while IFS=: read -r what _ percent _; do
        percent=${percent%%.*}
        case $what in
        dlstatus) reached=$((${percent:-0} * $1 / 100)) ;;
        pmstatus) reached=$(($1 + ${percent:-0} * (100 - $1) / 100)) ;;
        *) continue ;;
        esac
        while [ "$shown" -lt 90 ] && [ $((shown + 10)) -le "$reached" ]; do
            shown=$((shown + 10))
            printf ' %d %%' "$shown" >&2
        done
    done
}

# apt-get with arguments as one line of progress that begins with $1; what it says comes after a failure only.
apt_get() { # the line, see progress, arguments
    printf '%s:' "$1" >&2
    apt_share=$2 apt_start=$(date +%s)
    shift 2
    apt_output=$(mktemp)
    { apt-get -q -o APT::Status-Fd=4 "$@" 4>&1 >"$apt_output" 2>&1 || echo "$?" >"$apt_output.status"; } |
        progress "$apt_share"
    if [ ! -e "$apt_output.status" ]; then
        say " done, $(($(date +%s) - apt_start)) s"
        rm -f "$apt_output"
        return 0
    fi
    say ' failed'
    tail -n 5 "$apt_output" >&2
    rm -f "$apt_output" "$apt_output.status"
    return 1
}

need() {
    missing=
    for package in "$@"; do
        case "$missing " in *" $package "*) continue ;; esac # several parts may need it
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
            missing="$missing $package"
    done
    [ -z "$missing" ] && return 0
    [ "$(id -u)" = 0 ] || die "missing packages; as root: apt-get install$missing"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086
    apt-cache show $missing >/dev/null 2>&1 || apt_get 'updating the list of packages' 100 update
    # shellcheck disable=SC2086
    apt_get "installing$missing" 50 install -y --no-install-recommends $missing && return 0
    apt_get 'updating the list of packages' 100 update || say "going on with what apt-get knows"
    # shellcheck disable=SC2086
    apt_get "installing$missing" 50 install -y --no-install-recommends $missing || die "cannot install$missing"
}

# What building the project takes: Debian's package, and the header by which it is found on any system ("-": a program).
build_packages='gcc:- make:- binutils:- libc6-dev:stdio.h libzydis-dev:Zydis/Zydis.h zlib1g-dev:zlib.h
liblzma-dev:lzma.h libzstd-dev:zstd.h libjansson-dev:jansson.h libslirp-dev:slirp/libslirp.h libedit-dev:histedit.h'

need_build() {
    # shellcheck disable=SC2046
    need $(printf '%s\n' $build_packages | sed 's/:.*//')
}
