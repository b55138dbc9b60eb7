#!/bin/bash
# A small Linux with the options of QEMU that users give, one row of options.txt after the other, by `nestbox qemu`: it
# starts, has what the row asks for, complains of nothing, and QEMU has nothing to say. With a display, its picture is
# not empty.
# usage: options.sh quick | more | NAME
# cases: quick
# more cases: more
set -u
VENDOR=intel
. "$(dirname "$0")/lib.sh"
wanted=${1:-quick}

# Linux says this on hardware as well: of Hyper-V's interface without an invariant TSC, and of old CPUs.
weak='due to running on Hyper-V|RETBleed'
# QEMU is right to say this: some models have what the engine has not, and controllers outside of KVM are old.
expected="warning: host doesn't support requested feature|Userspace local APIC is deprecated|Do not use kernel-irqchip"

row() { # VENDOR NAME ARGUMENTS COMMAND
    local args vm=$2 colours says=$weak
    # Without KVM's clock Linux measures its TSC, which goes wrong on a busy host.
    [[ $3 != *kvm=off* && $3 != *-kvmclock* ]] || says="$says|Unable to calibrate against PIT"
    program=("$NB" qemu --accel engine --nested "$1" --)
    read -ra args <<<"${3//FOLDER/$work}"
    [[ " $3 " == *' -m '* ]] || args+=(-m 256M)
    small "$vm" 'panic=-1' "${args[@]}" -no-reboot
    guest "$vm" "$4" || fail "$2: in the guest: $4"
    complaints "$vm" | grep -vE "$says" && fail "$2: the kernel complains"
    if [[ $3 == *-vga* ]]; then
        hmp "$vm" "screendump $work/screen.ppm" || fail "$2: screendump"
        colours=$(tail -c +20 "$work/screen.ppm" | od -An -v -w3 -tx1 | sort | uniq -c | awk '$1 > 100' | wc -l)
        [ "$colours" -ge 2 ] || fail "$2: the picture has one colour"
    fi
    grep -vE "$expected|^nestbox: accelerator" "$work/$vm.err" && fail "$2: QEMU complains"
    qmp "$vm" quit >/dev/null
    ends "$vm" 0 30
    say "$2"
}

count=0
while IFS= read -r line <&3; do
    [[ $line == \#* ]] && continue
    read -r how vendor name <<<"${line%% | *}"
    [ "$wanted" = "$how" ] || [ "$wanted" = "$name" ] || continue
    rest=${line#* | }
    row "$vendor" "$name" "${rest%% | *}" "${rest#* | }"
    count=$((count + 1))
done 3<"$(dirname "$0")/options.txt"
[ $count -gt 0 ] || fail "options.txt has no row $wanted"
say "$count rows"
