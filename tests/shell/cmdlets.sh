#!/bin/bash
# Cmdlets on VMs that are defined, and one that runs: what they change is looked at by the command line, what they show
# has the properties of Hyper-V's objects in their order, and refusals have their identifiers.
# limit: 180
cd "$(dirname "$0")/../.." || exit 1
source tests/cli/lib.sh
NESTBOX=$(realpath "$NESTBOX")
export NESTBOX_HOME=$WORK/home HOME=$WORK/user
mkdir -p "$HOME"
unset XDG_RUNTIME_DIR
for tool in qemu-system-x86_64 qemu-img jq; do
    command -v $tool >/dev/null || { echo "$tool is missing" && exit 77; }
done
nb() { timeout 60 "$NESTBOX" "$@"; }
trap 'nb stop a --turn-off >/dev/null 2>&1; rm -rf "$WORK"' EXIT
MANY_LINES=1

says() { # NAME TEXT LINE: all that the shell prints; status 0
    local got
    nb shell -c "$3" >"$WORK/out" 2>"$WORK/err" </dev/null
    got=$?
    [ $got = 0 ] && [ "$(cat "$WORK/out")" = "$2" ] && pass "$1" && return
    fail "$1" "status $got" "$(cat "$WORK/out")" "$(head -n 5 "$WORK/err")"
}
refuses() { # NAME IDENTIFIER LINE: it fails, with that identifier
    nb shell -c "$3" >"$WORK/out" 2>"$WORK/err" </dev/null
    [ $? = 1 ] && grep -qF "FullyQualifiedErrorId : $2" "$WORK/err" && pass "$1" && return
    fail "$1" "$(cat "$WORK/out")" "$(head -n 8 "$WORK/err")"
}
hints() { # NAME TEXT LINE: it fails, and its second line says what to do
    nb shell -c "$3" >"$WORK/out" 2>"$WORK/err" </dev/null
    [ $? = 1 ] && grep -qxF "  $2" "$WORK/err" && pass "$1" && return
    fail "$1" "$(cat "$WORK/out")" "$(head -n 8 "$WORK/err")"
}
setting() { nb show a --json | jq -r ".settings.$1"; }
settings() { # NAME WANT LINE JSON...: a silent line, and what the settings are then
    local name=$1 want=$2 line=$3 got
    shift 3
    says "$name" '' "$line"
    got=$(for row; do setting "$row"; done | paste -sd ' ')
    check "$name: its effect" [ "$got" = "$want" ] || echo "# $got"
}
properties() { # NAME LINE WORD...: the first properties of an object, in their order
    local name=$1 line=$2
    shift 2
    nb shell -c "$line | Format-List *" >"$WORK/out" 2>"$WORK/err"
    check "$name" [ "$(sed -n 's/^\([A-Za-z]*\) *: .*/\1/p' "$WORK/out" | head -n $# | paste -sd ' ')" = "$*" ]
}

# -- VMs --
says 'New-VM' $'a Off 1\nb' 'New-VM a 256MB -Generation 2 | foreach { "$($_.Name) $($_.State) $($_.VMName.Length)" }
    (New-VM -Name b -NewVHDSizeBytes 64MB).Name'
id=$(nb show a --json | jq -r .id)
says 'by id' a "(Get-VM -Id $id).Name"
says 'the id as a name' a "(Get-VM $id).Name"
says 'wildcards' $'a\nb' 'Get-VM [ab] | foreach Name'
refuses 'no such VM' 'InvalidParameter,Microsoft.HyperV.PowerShell.Commands.GetVM' 'Get-VM nosuch'
refuses 'no such VM, elsewhere' 'ObjectNotFound,Microsoft.HyperV.PowerShell.Commands.SetVMProcessor' \
    'Set-VMProcessor nosuch -Count 2'
refuses 'a value out of range' 'InvalidParameter,Microsoft.HyperV.PowerShell.Commands.SetVMProcessor' \
    'Set-VMProcessor a -Count 1000'
hints 'what VMs there are' 'Get-VM lists what there is' 'Set-VMProcessor nosuch -Count 2'
hints 'a VM without a card' "Add-VMNetworkAdapter 'a' adds one" 'Get-VMNetworkAdapter a'
hints 'no VM of cards' 'Get-VM lists what there is' 'Get-VMNetworkAdapter nosuch'
hints 'no checkpoint' 'Get-VMSnapshot lists what there is' 'Restore-VMSnapshot -VMName a nosuch'
hints 'what is not here' 'Add-VMHardDiskDrive gives an image to a VM, which mounts what is in it' 'Mount-VHD a.vhdx'
hints 'what is nowhere' 'Get-Command lists cmdlets' 'Get-Nothing'
hints 'what is mistyped' 'did you mean Get-VMSwitch?' 'get-vmswich'
hints 'a parameter that is mistyped' 'did you mean -Name?' 'Get-VM -Nmae x'
hints 'an external switch' 'name it with -NetAdapterName' 'New-VMSwitch x -SwitchType External'
hints 'both kinds of memory' 'give one of them' 'Set-VM a -StaticMemory -DynamicMemory'
hints 'no image' 'Get-VM lists VMs, Get-VMHardDiskDrive their disks' 'Resize-VHD nosuch.qcow2 1GB'
folder=https://raw.githubusercontent.com/Microsoft/Virtualization-Documentation/master/hyperv-tools/Nested
# shellcheck disable=SC2088
hints 'a script that was not fetched' \
    "Invoke-WebRequest $folder/Enable-NestedVm.ps1 -OutFile '$HOME/Enable-NestedVm.ps1' brings it" \
    '~/Enable-NestedVm.ps1 -VmName a'
nb shell -c "Invoke-WebRequest $folder/Enable-NestedVm.ps1 -OutFile ~/Enable-NestedVm.ps1"
for line in '' '-VmName nosuch'; do
    # shellcheck disable=SC2088
    nb shell -c "~/Enable-NestedVm.ps1 $line" >/dev/null 2>&1 </dev/null
    check "the script fails with '$line'" [ $? = 1 ]
done
settings 'Set-VM' '3 536870912 words if-running save' \
    'Set-VM a -ProcessorCount 3 -MemoryStartupBytes 512MB -Notes words -AutomaticStopAction Save' \
    cpus memory notes auto_start auto_stop
settings 'Set-VMMemory' 'true 268435456 1073741824 30 70' \
    'Set-VMMemory a -DynamicMemoryEnabled 1 -Min 256MB -Max 1GB -Buffer 30 -Priority 70' \
    dynamic_memory memory_minimum memory_maximum memory_buffer memory_priority
settings 'Set-VMProcessor' '2 50 10 200' 'Set-VMProcessor a -Count 2 -Max 50 -Reserve 10 -Rel 200' \
    cpus cpu_maximum cpu_reserve cpu_weight
settings 'by objects of the pipeline' on 'Get-VM a | Set-VMProcessor -ExposeVirtualizationExtensions $true' nested
settings 'Set-VMFirmware' 'cd,disk' 'Set-VMFirmware a -BootOrder DvdDrive,Drive' boot
settings 'its first device, by an object' 'network,disk,cd' \
    'New-VMSwitch s -SwitchType Private | Out-Null; Add-VMNetworkAdapter a s
     Set-VMFirmware a -FirstBootDevice (Get-VMNetworkAdapter a)' boot
refuses 'what nothing starts from' 'InvalidParameter,Microsoft.HyperV.PowerShell.Commands.SetVMFirmware' \
    'Set-VMFirmware a -BootOrder Tape'
settings 'Set-VMBios' 'cd,disk' 'Set-VMBios a -StartupOrder CD,IDE' boot
settings 'Enable-VMTPM' true 'Enable-VMTPM a' tpm
settings 'Disable-VMTPM' false 'Disable-VMTPM a' tpm
says '-WhatIf' 'What if: Performing the operation "Set-VMProcessor" on target "a".' 'Set-VMProcessor a -Count 4 -WhatIf'
check 'it changes nothing' [ "$(setting cpus)" = 2 ]
says '-Passthru' '4' '(Set-VMProcessor a -Count 4 -Passthru).Count'
says 'Set-VM -NewVMName' c '(Set-VM b -NewVMName c -Passthru).Name'
says 'Rename-VM' b '(Rename-VM c b -Passthru).Name'
says 'cards of a VM' s '(Get-VM a).NetworkAdapters.SwitchName'
says 'disks of a VM' "$NESTBOX_HOME/vms/b/disks/disk0.qcow2" '(Get-VM b).HardDrives.Path'
says 'Get-VMHostSupportedVersion' '12.0' '(Get-VMHostSupportedVersion).Version'
says 'Set-VMHost' $'ws2019\n9.0' \
    '(Set-VMHost -Profile ws2019 -Passthru).Profile; (Get-VMHostSupportedVersion).Version; Set-VMHost -Profile open'
says 'a card without a switch, which comes to one and leaves it' $'False \nTrue s\n1\nFalse \n0' \
    'function Show { Get-VMNetworkAdapter a -Name loose | foreach { "$($_.Connected) $($_.SwitchName)" } }
     Add-VMNetworkAdapter a -Name loose; Show
     Connect-VMNetworkAdapter a -Name loose -SwitchName s; Show
     @(Get-VMNetworkAdapter a -Name loose -SwitchName s).Count
     Get-VMNetworkAdapter a -Name loose | Disconnect-VMNetworkAdapter; Show
     @(Get-VMNetworkAdapter a -Name loose -SwitchName s).Count
     Remove-VMNetworkAdapter a -Name loose'
says 'Get-VMNetworkAdapterVlan' $'Untagged 0\nAccess 10\nTrunk 10,20-22' \
    'function Show {
         Get-VMNetworkAdapterVlan a | foreach { $_.OperationMode + " " + $_.AllowedVlanIdList + $_.AccessVlanId }
     }
     Show; Set-VMNetworkAdapterVlan a -Access -VlanId 10; Show
     Set-VMNetworkAdapterVlan a -Trunk -AllowedVlanIdList "20-22" -NativeVlanId 10
     (Get-VMNetworkAdapterVlan a).OperationMode + " " + (Get-VMNetworkAdapterVlan a).VlanList'

# -- objects, in the order that administrators know --
properties 'VMProcessor' 'Get-VMProcessor a' ResourcePoolName Count CompatibilityForMigrationEnabled \
    CompatibilityForOlderOperatingSystemsEnabled HwThreadCountPerCore ExposeVirtualizationExtensions EnablePerfmonPmu \
    EnablePerfmonLbr EnablePerfmonPebs EnablePerfmonIpt EnableLegacyApicMode Maximum Reserve RelativeWeight \
    MaximumCountPerNumaNode MaximumCountPerNumaSocket EnableHostResourceProtection OperationalStatus Name Id VMId \
    VMName VMSnapshotId VMSnapshotName ComputerName IsDeleted VMCheckpointId VMCheckpointName
properties 'VMMemory' 'Get-VMMemory a' ResourcePoolName Buffer DynamicMemoryEnabled Maximum Minimum Priority Startup \
    Name Id VMId VMName
properties 'VirtualMachine' 'Get-VM a' ParentCheckpointId ParentCheckpointName VMName VMId CheckpointFileLocation \
    ConfigurationLocation SmartPagingFileInUse SnapshotFileLocation AutomaticStartAction AutomaticStartDelay
nb shell -c 'Get-VM' >"$WORK/out"
check 'the table of VMs' grep -qE '^Name State CPUUsage\(%\) MemoryAssigned\(M\) Uptime +Status +Version$' "$WORK/out"
nb shell -c 'Get-VMProcessor a' >"$WORK/out"
check 'the table of processors' grep -qE \
    '^VMName Count CompatibilityForMigrationEnabled CompatibilityForOlderOperatingSystemsEnabled$' "$WORK/out"

# -- drives and images --
cd "$WORK" || exit 1
says 'New-VHD' 'QCOW2 1073741824' 'New-VHD d.qcow2 1GB | foreach { "$($_.VhdFormat) $($_.Size)" }'
says 'one that stands on it' 'Differencing True' \
    'New-VHD e.qcow2 -ParentPath d.qcow2 -Differencing | foreach { "$($_.VhdType) $($_.ParentPath -like "*/d.qcow2")" }'
says 'Resize-VHD' 2147483648 '(Resize-VHD e.qcow2 2GB -Passthru).Size'
says 'a differencing disk' '' 'New-VHD over.qcow2 -ParentPath e.qcow2 > $null'
refuses 'Merge-VHD into another' InvalidParameter 'Merge-VHD over.qcow2 -DestinationPath d.qcow2 -Confirm:$false'
says 'Merge-VHD' 'False' 'Merge-VHD over.qcow2 -DestinationPath e.qcow2 -Confirm:$false; Test-Path over.qcow2'
refuses 'Merge-VHD of what stands alone' InvalidParameter 'Merge-VHD d.qcow2 -Confirm:$false'
nb host set --profile ws2016
says 'a VM of an older host' 8.0 'New-VM old > $null; (Get-VM old).Version'
nb host set --profile open
says 'Update-VMVersion' 12.0 'Update-VMVersion old -Force; (Get-VM old).Version'
nb host set --profile ws2016
refuses 'Update-VMVersion to an older one' InvalidState 'Update-VMVersion old -Force'
nb host set --profile open
nb delete old --force
refuses 'Enter-PSSession without a terminal' NoTerminal 'Enter-PSSession -VMName a'
says 'Convert-VHD' VHDX '(Convert-VHD e.qcow2 f.vhdx -Passthru).VhdFormat'
says 'Test-VHD and Optimize-VHD' True 'Optimize-VHD e.qcow2; Test-VHD e.qcow2'
says 'Get-VHD of several' '3' '(Get-VHD d.qcow2, e.qcow2, f.vhdx | Measure-Object).Count'
refuses 'no such image' 'ObjectNotFound,' 'Get-VHD nosuch.qcow2'
truncate -s 1M cd.iso
says 'disks and CDs' "$WORK/e.qcow2 300"$'\n'"$WORK/cd.iso"$'\nempty' \
    'Add-VMHardDiskDrive a SCSI 0 3 e.qcow2
     Get-VMHardDiskDrive a SCSI 0 3 | Set-VMHardDiskDrive -MaximumIOPS 300
     Get-VMHardDiskDrive a SCSI | foreach { "$($_.Path) $($_.MaximumIOPS)" }
     Add-VMDvdDrive a; Set-VMDvdDrive a -Path cd.iso; (Get-VMDvdDrive a).Path
     Set-VMDvdDrive a -Path $null; if (-not (Get-VMDvdDrive a).Path) { "empty" }'
refuses 'no such place' 'ObjectNotFound,' 'Set-VMHardDiskDrive a SCSI 3 9 -MaximumIOPS 1'
says 'they are taken away' 0 \
    'Remove-VMHardDiskDrive a SCSI 0 3; Remove-VMDvdDrive a; (Get-VMHardDiskDrive a | Measure-Object).Count'

# -- to other hosts, and back --
says 'Export-VM' '' "Export-VM b '$WORK/out.d'"
check 'it is a folder' [ -s "$WORK/out.d/b/export.json" ]
says 'Compare-VM' $'name id' "(Compare-VM '$WORK/out.d/b').Incompatibilities.Name -join ' '"
refuses 'the name is taken' 'ResourceExists,Microsoft.HyperV.PowerShell.Commands.ImportVM' \
    "Import-VM '$WORK/out.d/b' -Copy"
says 'Import-VM' 'b2 Off False' "Import-VM '$WORK/out.d/b' -Copy -GenerateNewId -VMName b2 | foreach {
    \"\$(\$_.Name) \$(\$_.State) \$(\$_.Id -eq (Get-VM b).Id)\" }"
says 'an archive' 'b3' "Export-VM b '$WORK/b.tar'; (Import-VM '$WORK/b.tar' -GenerateNewId -VMName b3).Name"
says 'Export-VMSnapshot' 'b4' "Checkpoint-VM b then; Export-VMSnapshot -VMName b -Name then -Path '$WORK/then.d'
    (Import-VM '$WORK/then.d/b' -Copy -GenerateNewId -VMName b4).Name; Remove-VM b2, b3, b4 -Force"

# -- a VM that runs --
says 'Start-VM' 'a Running NoContact' \
    'Set-VM a -StaticMemory -MemoryStartupBytes 128MB
     Start-VM a -Passthru | foreach { "$($_.Name) $($_.State) $($_.Heartbeat)" }'
says 'what the agent does' 'No Contact' '(Get-VMIntegrationService a -Name Heartbeat).PrimaryStatusDescription'
says 'again' '' 'Start-VM a'
check 'is a warning' grep -q 'WARNING: VM a is in state Running already' "$WORK/err"
refuses 'the switch of a VM that runs' 'InvalidState,Microsoft.HyperV.PowerShell.Commands.SetVMProcessor' \
    'Set-VMProcessor a -ExposeVirtualizationExtensions $false'
says 'metering' $'True\nTrue\nTrue 0' 'Enable-VMResourceMetering a; (Get-VM a).ResourceMeteringEnabled; Start-Sleep 2
    (Measure-VM a).MaximumMemoryUsage -gt 0
    Reset-VMResourceMetering a; Measure-VM a | foreach { "$($_.AverageMemoryUsage -gt 0) $($_.NetworkInbound)" }
    Disable-VMResourceMetering a'
refuses 'without metering' 'InvalidState,Microsoft.HyperV.PowerShell.Commands.MeasureVM' 'Measure-VM a'
says 'Suspend-VM, Resume-VM, Stop-VM' $'Paused\nRunning\nOff' \
    'Suspend-VM a; (Get-VM a).State; Resume-VM a; (Get-VM a).State; Stop-VM a -TurnOff; (Get-VM a).State'
says '-Force asks nothing' '' 'Remove-VMSwitch s -Force'
says 'Remove-VM' '' 'Remove-VM a, b -Force'
check 'they are gone' [ "$(nb list --json)" = '[]' ]

# -- help --
nb shell -c 'Set-VM -?' >"$WORK/out"
check '-? is help' grep -q 'Set-VM \[-Name\] <string\[\]>' "$WORK/out"
nb shell -c 'Get-Help Stop-VM -Examples' >"$WORK/out"
check 'examples' [ "$(grep -c 'Stop-VM lab' "$WORK/out")" = 3 ]
nb shell -c 'Get-Help Stop-VM -Parameter Force' >"$WORK/out"
check 'one parameter' [ "$(grep -c '^ *-' "$WORK/out")" = 1 ]
nb shell -c 'Get-Help Stop-VM -Full' >"$WORK/out"
check 'all of them' grep -q -- '-TurnOff' "$WORK/out"
refuses 'help on no parameter' 'HelpNotFound,Get-Help' 'Get-Help Get-Alias -Parameter Nothing'
finish
