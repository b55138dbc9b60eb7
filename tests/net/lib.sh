# shellcheck shell=bash
# Sourced first by the scripts of this folder. Starts the script anew in namespaces of its own for mounts, processes and
# networks, in a user namespace if the caller is not root: nothing here sees the host's network, and the last process
# that ends takes all others, interfaces and files with it. In there the script plays the host, which has nothing but a
# loopback interface; clients are network namespaces with a tap device behind a socket as QEMU has it (tapport.c).

if [ -z "${NET_INSIDE:-}" ]; then
    [ -e /dev/net/tun ] || { echo 'no /dev/net/tun'; exit 77; }
    spaces=(--mount --pid --net --fork --kill-child --mount-proc)
    [ "$(id -u)" = 0 ] || spaces+=(--map-root-user)
    unshare "${spaces[@]}" true 2>/dev/null || { echo 'no namespaces can be made here'; exit 77; }
    NET_INSIDE=$(mktemp -d) || exit 1
    export NET_INSIDE
    unshare "${spaces[@]}" bash "$0" "$@"
    status=$?
    rmdir "$NET_INSIDE"
    exit $status
fi

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
NB=$(realpath "${NB:-build/release/nestbox}")
tools=$PWD/build/net
work=$NET_INSIDE
mount -t tmpfs tmpfs "$work" && mount -t tmpfs tmpfs /run && mkdir /run/netns || exit 1
export NESTBOX_HOME=$work/home
PATIENCE=${PATIENCE:-3} # all times to wait are multiplied by it; a busy host needs them
ip link set lo up || exit 1
(: >/dev/net/tun) 2>/dev/null || { echo '/dev/net/tun may not be opened'; exit 77; }
# Duplicate address detection would make each IPv6 address wait for two seconds.
sysctl -qw net.ipv6.conf.default.accept_dad=0
trap 'exit 1' TERM INT

say() { printf '%4d s  %s\n' "$SECONDS" "$*"; }

fail() {
    local log
    for log in "$work"/*.log "$NESTBOX_HOME"/vms/*/log; do
        [ -s "$log" ] && { echo "--- the end of ${log#"$work"/}" && tail -n 30 "$log"; }
    done
    [ -z "${KEEP:-}" ] || cp -r "$work" "$KEEP"
    echo "FAILED: $*"
    exit 1
}

skip() {
    echo "$*"
    exit 77
}

has() { # PROGRAM...
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null || skip "$program is missing"
    done
}

# within SECONDS COMMAND...: tries the command until it succeeds. False if it does not.
within() {
    local end=$((${EPOCHREALTIME/./} + $1 * PATIENCE * 1000000))
    shift
    until "$@"; do
        [ "${EPOCHREALTIME/./}" -lt $end ] || return 1
        sleep 0.1
    done
}

# says PATTERN COMMAND...: whether what the command prints matches.
says() {
    local pattern=$1
    shift
    "$@" 2>&1 | grep -qiE -- "$pattern"
}

nb() { "$NB" "$@" || fail "nestbox $*"; }

# refused TEXT COMMAND...: nestbox must refuse the command, with a text that matches.
refused() {
    local text=$1 said
    shift
    said=$("$NB" "$@" 2>&1) && fail "nestbox $* was not refused"
    grep -qE -- "$text" <<<"$said" || fail "nestbox $* says '$said', not '$text'"
}

# in_space SPACE COMMAND...: in the network namespace of a client, or of another neighbour.
in_space() {
    local space=$1
    shift
    nsenter --net="/run/netns/$space" -- "$@"
}

space() { # NAME: a network namespace with nothing in it
    ip netns add "$1" && in_space "$1" ip link set lo up &&
        in_space "$1" sysctl -qw net.ipv6.conf.default.accept_dad=0 ||
        fail "namespace $1"
}

# client VM SWITCH [ADDRESS [OPTION...]]: a card of a VM at a switch, a namespace of the VM's name whose eth0 is behind
# it. What there is to know of it stands in $card (its id) and $mac. It takes $takes bytes per second, if that is set.
client() {
    local vm=$1 switch=$2 address=${3:-} said socket
    shift $(($# < 3 ? $# : 3))
    said=$(nb nic add "$vm" --switch "$switch" "$@" --json) || exit 1
    card=$(jq -r .id <<<"$said") mac=$(jq -r .mac <<<"$said") socket=$(jq -r .socket <<<"$said")
    [ -n "$socket" ] || fail "nic add says: $said"
    space "$vm"
    tap "$vm" eth0 "$socket" "$mac" "${takes:-}"
    [ -z "$address" ] || in_space "$vm" ip address add "$address" dev eth0
}

# tap SPACE NAME SOCKET MAC [RATE]: a device in the namespace that is behind a socket. ${port[SPACE]} is its process.
declare -A port=()
tap() {
    # shellcheck disable=SC2086
    nsenter --net="/run/netns/$1" -- "$tools/tapport" "$3" "$2" ${5:-} 2>>"$work/$1.log" &
    port[$1]=$!
    within 5 in_space "$1" ip link set "$2" address "$4" up 2>/dev/null || fail "no device $2 in $1"
}

# Starts a program in a namespace in the background; its output goes to a log.
background() { # SPACE COMMAND...
    nsenter --net="/run/netns/$1" -- "${@:2}" >>"$work/$1.log" 2>&1 &
    started=$!
}

# The host's network: `wan`, behind which is the namespace `out` with another machine.
outside() {
    [ -e /run/netns/out ] || space out
    ip link add wan address 52:54:00:00:ff:01 type veth peer name eth0 address 52:54:00:00:ff:02 netns out
    ip link set wan up
    in_space out ip link set eth0 up
    in_space out ip address add 198.51.100.1/24 dev eth0
}

reaches() { # SPACE ADDRESS: within a few seconds, as the switch may have just been told
    within 5 in_space "$1" ping -c 1 -W 1 -q "$2" >/dev/null
}

# Three requests, none of which is answered.
silent() { # SPACE ADDRESS
    ! in_space "$1" ping -c 3 -i 0.2 -W 1 -q "$2" >/dev/null
}

serves() { # SPACE PORT
    background "$1" "$tools/peer" serve "$2"
    within 5 in_space "$1" bash -c "exec 3<>/dev/tcp/127.0.0.1/$2" 2>/dev/null || fail "no server in $1"
}

frames() { in_space "$1" "$tools/frames" "${@:2}"; }

# rate SPACE SECONDS: the bits per second that arrive there.
rate() {
    frames "$1" count eth0 "$2" 2>/dev/null | awk -v seconds="$2" '{ n += $6 } END { printf "%d\n", n * 8 / seconds }'
}

near() { # VALUE WANTED PERCENT
    [ $(($1 * 100)) -ge $(($2 * (100 - $3))) ] && [ $(($1 * 100)) -le $(($2 * (100 + $3))) ]
}

show() { nb switch show "$1" --json; } # SWITCH

counter() { # SWITCH VM NAME: a counter of the port of a VM's only card
    show "$1" | jq -r --arg vm "$2" --arg name "$3" '.ports[] | select(.vm == $vm) | .dropped[$name] // 0'
}

counted() { # SWITCH VM NAME AT_LEAST
    [ "$(counter "$1" "$2" "$3")" -ge "$4" ]
}
