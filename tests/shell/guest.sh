#!/bin/bash
# Commands of the documents that run in a guest: an installed Debian with nestbox-agent on its disk, and AMD-V.
# limit: 900
cd "$(dirname "$0")/../.." || exit 1
source tests/cli/lib.sh
image=build/disk/test.raw
[ -e $image ] || { echo "no $image: see tools/test.sh" && exit 77; }
for tool in qemu-system-x86_64 jq debugfs dpkg-deb; do
    command -v $tool >/dev/null || { echo "$tool is missing" && exit 77; }
done
NESTBOX=$(realpath "$NESTBOX")
export NESTBOX_HOME=$WORK/home
unset XDG_RUNTIME_DIR
nb() { timeout "${LIMIT:-120}" "$NESTBOX" "$@"; }
trap 'LIMIT=30 nb stop lab --turn-off >/dev/null 2>&1; rm -rf "$WORK"' EXIT

agent_disk "$WORK/disk.raw"
nb switch create lab --type private || exit 1
nb create lab --generation 1 --memory 512M --accel engine --nested amd --display none --disk "$WORK/disk.raw" \
    --switch lab || exit 1

says() { # NAME STATUS PATTERN LINE: what the shell prints matches
    local name=$1 want=$2 pattern=$3 got
    LIMIT=300 nb shell -c "$4" >"$WORK/out" 2>"$WORK/err" </dev/null
    got=$?
    [ $got = "$want" ] && { [ -z "$pattern" ] || grep -qE -- "$pattern" "$WORK/out" "$WORK/err"; } &&
        pass "$name" && return
    fail "$name" "status $got" "$(tail -c 1000 "$WORK/err")" "$(tail -c 1000 "$WORK/out")"
}
boot() { nb exec lab cat /proc/sys/kernel/random/boot_id; }

says 'a guest that does not run' 1 'Start-VM starts it' 'Invoke-Command -VMName lab -ScriptBlock { uname }'
says 'Start-VM' 0 '' 'Start-VM lab'
says 'Wait-VM' 0 '' 'Wait-VM lab -For Heartbeat -Timeout 280; if (-not $?) { Wait-VM lab -For Heartbeat -Timeout 280 }'
says 'a command' 0 '^Linux$' 'Invoke-Command -VMName lab -ScriptBlock { uname }'
says 'its lines' 0 '^2$' '(Invoke-Command -VMName lab -ScriptBlock { echo a; echo b } | Measure-Object).Count'
says 'its status' 1 '^7$' 'Invoke-Command lab { exit 7 }; $LASTEXITCODE; Invoke-Command lab { exit 7 }'
printf 'echo from $0; hostname' >"$WORK/script.sh"
says 'a file of the host' 0 'from bash' "Invoke-Command -VMName lab -FilePath '$WORK/script.sh'"
says 'Copy-VMFile' 0 'hostname' \
    "Copy-VMFile lab '$WORK/script.sh' /root/ -FileSource Host; Invoke-Command lab { cat /root/script.sh }"
says 'Get-WindowsFeature before' 0 '\[ \] Hyper-V +Hyper-V +Available' \
    'Invoke-Command -VMName lab -ScriptBlock { Get-WindowsFeature -Name Hyper-V }'
seed() { sed -n "s/^$2"$'\t[^\t]*\t//p' "tests/shell/seed$1.txt"; } # DOCUMENT NUMBER: a command as it is printed
inside() { says "$1" "$2" "$3" "Invoke-Command -VMName lab -ScriptBlock { $4 }"; } # NAME STATUS PATTERN LINE

# What the settings are in the guest.
check 'the extensions are in its CPUs' nb exec lab -- grep -qw svm /proc/cpuinfo
check 'its CPUs' [ "$(nb exec lab nproc)" = 1 ]

# Frames from another address pass with spoofing only (C25, C3).
foreign() { # frames that the switch has taken from an address that is not the card's, and those that it has dropped
    nb exec lab -- sh -c 'ip link set "$1" down; ip link set "$1" address 02:00:00:00:00:99 up
        ip address replace 10.9.9.1/24 dev "$1"; ping -c 2 -W 1 10.9.9.2 >/dev/null' sh "$interface" || true
    nb switch show lab --json | jq '.ports[] | select(.vm == "lab") | .dropped.spoofed // 0'
}
interface=$(nb exec lab -- sh -c 'ls /sys/class/net | grep -v lo | head -n 1')
dropped=$(foreign)
check 'frames from another address are dropped' [ "$dropped" -gt 0 ]
line=$(seed 004 C25)
says 'C25' 0 '' "${line/\"NestedLabVM01\"/lab}"
dropped=$(foreign)
again=$(foreign)
check 'and pass then' [ "$dropped" = "$again" ]

# There is no network here, so apt has a mirror in the guest: of packages that have the names, and say so.
package() { # NAME PROGRAM
    mkdir -p "$WORK/deb/DEBIAN" "$WORK/deb/usr/bin" "$WORK/mirror"
    printf 'Package: %s\nVersion: 4.3.1-test\nArchitecture: all\n' "$1" >"$WORK/deb/DEBIAN/control"
    printf 'Maintainer: test <t@example.org>\nDescription: test\n' >>"$WORK/deb/DEBIAN/control"
    printf '#!/bin/sh\necho "%s version 4.3.1 $*"\n' "$1" >"$WORK/deb/usr/bin/$2"
    chmod 755 "$WORK/deb/usr/bin/$2"
    dpkg-deb --root-owner-group -Zgzip -b "$WORK/deb" "$WORK/mirror/$1.deb" >/dev/null || exit 1
    rm -r "$WORK/deb"
    (cd "$WORK/mirror" && dpkg-deb -f "$1.deb" && printf 'Filename: ./%s.deb\nSize: %s\nSHA256: %s\n\n' "$1" \
        "$(stat -c %s "$1.deb")" "$(sha256sum "$1.deb" | cut -d' ' -f1)") >>"$WORK/mirror/Packages"
}
package qemu-system-x86 qemu-system-x86_64
package podman podman
nb copy -r "$WORK/mirror" lab:/srv/ || fail 'the mirror'
inside 'no package of the engine is known' 1 'apt knows no package podman' \
    "rm -rf /etc/apt/sources.list* /var/lib/apt/lists; mkdir -p /var/lib/apt/lists; $(seed 004 C33)"
inside 'C35 without an engine' 1 'are not built yet' "$(seed 004 C35)"
inside 'and other containers' 1 'Install-Package' 'docker run --rm debian:12 true'
nb exec lab -- sh -c 'echo "deb [trusted=yes] file:/srv/mirror ./" >/etc/apt/sources.list'
inside 'C33' 0 '' "$(seed 004 C33)"
inside 'another module' 1 'There is no Pester here' 'Install-Module -Name Pester'
inside 'C34' 0 '^docker +4.3.1 +apt +podman' "$(seed 004 C34)"
check 'the engine is installed' nb exec lab -- dpkg -s podman
inside 'C35' 1 'are not built yet: this line waits' "$(seed 004 C35)"
inside 'another container' 0 '^podman version 4.3.1 run --rm debian:12 true$' 'docker run --rm debian:12 true'
before=$(boot)
line=$(seed 003 C20)
says 'C20' 0 'RestartNeeded : False' "${line/\"DemoVM\"/lab}"
sleep 5
says 'the guest comes back' 0 '' 'Wait-VM lab -Timeout 280; if (-not $?) { Wait-VM lab -Timeout 280 }'
check 'it was restarted' [ -n "$before" ] && [ "$(boot)" != "$before" ]
check 'its hypervisor is loaded' nb exec lab -- sh -c ': <>/dev/kvm'
for number in C23 C24; do
    inside "$number" 0 'Hyper-V' "$(seed 004 $number)"
done
check 'QEMU came by apt' nb exec lab -- dpkg -s qemu-system-x86

# A checkpoint has what was in the guest (C36 to C38).
lab_line() { seed 004 "$1" | sed 's/"NestedLabVM01"/lab/'; }
nb exec lab -- sh -c 'echo before >/root/state; sync'
says 'C36' 0 '' "$(lab_line C36)"
nb exec lab -- sh -c 'echo after >/root/state; sync'
says 'C37' 0 '^lab +BeforeLabSetup' "$(lab_line C37)"
says 'C38' 0 '' "$(lab_line C38)"
says 'it starts' 0 '' \
    'Start-VM lab -WarningAction SilentlyContinue; Wait-VM lab -Timeout 280; if (-not $?) { Wait-VM lab -Timeout 280 }'
check 'it is what it was' [ "$(nb exec lab cat /root/state)" = before ]
says 'Stop-VM -Force' 0 '' 'Stop-VM -VMName lab -Force'
says 'it is off' 0 '^Off$' '(Get-VM lab).State'
says 'without the extensions, with other CPUs and memory' 0 '' '
    Set-VMProcessor lab -ExposeVirtualizationExtensions $false
    Set-VMProcessor lab -Count 2; Set-VM -VMName lab -StaticMemory -MemoryStartupBytes 768MB; Start-VM lab'
says 'it starts again' 0 '' 'Wait-VM lab -Timeout 280; if (-not $?) { Wait-VM lab -Timeout 280 }'
check 'no extensions are in its CPUs' [ "$(nb exec lab -- grep -cwE 'svm|vmx' /proc/cpuinfo)" = 0 ]
check 'two CPUs' [ "$(nb exec lab nproc)" = 2 ]
memory=$(nb exec lab -- sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo)
check 'its memory' [ "$memory" -gt $((600 << 10)) ] && [ "$memory" -le $((768 << 10)) ]
says 'the role is refused, and the remedy named' 1 'ExposeVirtualizationExtensions' \
    'Invoke-Command -VMName lab -ScriptBlock { Install-WindowsFeature -Name Hyper-V }'
finish
