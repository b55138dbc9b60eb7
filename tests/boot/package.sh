# shellcheck shell=bash
# Sourced by boot tests of guests from Debian packages: `unpack PACKAGE ARCHITECTURE` downloads a package (never
# installs it) and unpacks it to build/packages/PACKAGE; a test whose package cannot be had is skipped. For another
# architecture than the machine's, apt gets package lists of its own, so that the machine's configuration stays as it
# is.

packages=$PWD/build/packages
mkdir -p "$packages/debs" "$packages/lists/partial" "$packages/cache/archives/partial"
exec 9>"$packages/lock" # tests run in parallel

apt_for() { # architecture, apt-get or apt-cache, its arguments
    local arch=$1 own
    own=$(dpkg --print-architecture)
    shift
    if [ "$arch" = "$own" ]; then
        "$1" -q -o APT::Sandbox::User=root "${@:2}"
    else
        "$1" -q -o APT::Sandbox::User=root -o APT::Architectures="$own,$arch" -o Dir::State::lists="$packages/lists" \
            -o Dir::Cache="$packages/cache" "${@:2}"
    fi
}

download() { # package, architecture
    (cd "$packages/debs" && apt_for "$2" apt-get download "$1:$2" >&2)
}

unpack() { # package, architecture
    local to=$packages/$1
    flock 9
    if [ ! -e "$to/done" ]; then
        rm -rf "$to" "$packages/debs/$1"_*.deb
        if ! download "$1" "$2"; then
            apt_for "$2" apt-get update >&2
            download "$1" "$2" || { echo "cannot download package $1 for $2"; exit 77; }
        fi
        dpkg-deb -x "$packages/debs/$1"_*.deb "$to" && touch "$to/done" || exit 1
    fi
    flock -u 9
}

# Prints the name of the package of the newest kernel of a flavour.
kernel_package() { # flavour, architecture
    local name
    for _ in 1 2; do
        name=$(apt_for "$2" apt-cache depends "linux-image-$1:$2" 2>/dev/null |
            sed -n 's/^ *Depends: *\(linux-image-[0-9][^ :]*\).*/\1/p' | head -n 1)
        [ -n "$name" ] && break
        flock 9
        apt_for "$2" apt-get update >&2
        flock -u 9
    done
    [ -n "$name" ] && echo "$name"
}
