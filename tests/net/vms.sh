# shellcheck shell=bash disable=SC2154
# Sourced after lib.sh by scripts whose clients are real guests: QEMU on the engine, as tests/qemu/lib.sh drives it,
# with the kernel of the boot tests and an image that has modules for networks and the programs of this folder.
export TMPDIR=$work
diskless=yes initrd=$work/l1.cpio
. tests/qemu/lib.sh
trap - EXIT # the namespaces take with them what runs and what lies in $work
[ -e build/guest/net.cpio ] || skip 'no image: see tools/test.sh'

# The image, with what $work/root has.
image_make() {
    mkdir -p "$work/root/bin"
    cp "$tools"/* "$work/root/bin"
    (cd "$work/root" && find . | cpio --quiet -o -H newc) >"$work/more.cpio"
    cat build/guest/l2.cpio build/guest/net.cpio "$work/more.cpio" >"$initrd"
}

# guest_start NAME ADDRESS MEMORY OPTION...: a VM with one card, by QEMU's options, with its modules loaded and its
# address set.
guest_start() {
    # shellcheck disable=SC2046
    small "$1" quiet $(accelerator) -m "$3" "${@:4}"
    guest "$1" 'for m in $(cat /modules/order); do insmod /modules/$m; done; ls /sys/class/net' >"$work/modules" 2>&1
    grep -q eth0 "$work/modules" || fail "no card in $1: $(<"$work/modules")"
    guest "$1" "ip link set eth0 up && ip addr add $2 dev eth0" || fail "$1: no address"
}

# attached NAME [SWITCH [OPTION...]]: a new card of a VM at the switch, or at net if none is named. $options are QEMU's
# options for it, $mac is its address.
attached() {
    local said
    said=$("$NB" nic add "$1" --switch "${2:-net}" "${@:3}" --json) || fail 'nic add'
    mac=$(jq -r .mac <<<"$said")
    readarray -t options < <(jq -r '.qemu[]' <<<"$said")
}
