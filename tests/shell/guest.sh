#!/bin/bash
# Commands of the documents that run in a guest: an installed Debian with nestbox-agent on its disk, and AMD-V.
# limit: 900
cd "$(dirname "$0")/../.." || exit 1
source tests/cli/lib.sh
image=build/disk/test.raw
[ -e $image ] || { echo "no $image: see tools/test.sh" && exit 77; }
for tool in qemu-system-x86_64 jq debugfs; do
    command -v $tool >/dev/null || { echo "$tool is missing" && exit 77; }
done
NESTBOX=$(realpath "$NESTBOX")
export NESTBOX_HOME=$WORK/home
unset XDG_RUNTIME_DIR
nb() { timeout "${LIMIT:-120}" "$NESTBOX" "$@"; }
trap 'LIMIT=30 nb stop lab --turn-off >/dev/null 2>&1; rm -rf "$WORK"' EXIT

agent_disk "$WORK/disk.raw"
nb create lab --generation 1 --memory 512M --accel engine --nested amd --display none --disk "$WORK/disk.raw" || exit 1

says() { # NAME STATUS PATTERN LINE: what the shell prints matches
    local name=$1 want=$2 pattern=$3 got
    LIMIT=300 nb shell -c "$4" >"$WORK/out" 2>"$WORK/err" </dev/null
    got=$?
    [ $got = "$want" ] && { [ -z "$pattern" ] || grep -qE -- "$pattern" "$WORK/out" "$WORK/err"; } &&
        pass "$name" && return
    fail "$name" "status $got" "$(tail -c 1000 "$WORK/err")" "$(tail -c 1000 "$WORK/out")"
}
boot() { nb exec lab cat /proc/sys/kernel/random/boot_id; }

says 'a guest that does not run' 1 'nestbox start' 'Invoke-Command -VMName lab -ScriptBlock { uname }'
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
# QEMU is not on this disk, and there is no network; whether the module loads is what matters here.
nb exec lab ln -s /bin/true /usr/local/bin/qemu-system-x86_64
before=$(boot)
line=$(sed -n $'s/^C20\t[^\t]*\t//p' tests/shell/seed003.txt)
says 'C20' 0 'RestartNeeded : False' "${line/\"DemoVM\"/lab}"
sleep 5
says 'the guest comes back' 0 '' 'Wait-VM lab -Timeout 280; if (-not $?) { Wait-VM lab -Timeout 280 }'
check 'it was restarted' [ -n "$before" ] && [ "$(boot)" != "$before" ]
check 'its hypervisor is loaded' nb exec lab -- sh -c ': <>/dev/kvm'
for number in C23 C24; do
    line=$(sed -n "s/^$number"$'\t[^\t]*\t//p' tests/shell/seed004.txt)
    says "$number" 0 'Hyper-V' "Invoke-Command -VMName lab -ScriptBlock { $line }"
done
says 'Stop-VM -Force' 0 '' 'Stop-VM -VMName lab -Force'
says 'it is off' 0 '^Off$' '(Get-VM lab).State'
says 'without the extensions' 0 '' 'Set-VMProcessor lab -ExposeVirtualizationExtensions $false; Start-VM lab'
says 'it starts again' 0 '' 'Wait-VM lab -Timeout 280; if (-not $?) { Wait-VM lab -Timeout 280 }'
says 'the role is refused, and the remedy named' 1 'ExposeVirtualizationExtensions' \
    'Invoke-Command -VMName lab -ScriptBlock { Install-WindowsFeature -Name Hyper-V }'
finish
