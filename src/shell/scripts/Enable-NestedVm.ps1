# Makes a VM ready to run VMs within itself: shows what it would change, asks, and changes it.
# This is nestbox's own script for the address that Hyper-V's documents name; the questions and their order are theirs.
param([string]$VmName)

if (-not $VmName) {
    Write-Host 'No VM is named. Use: Enable-NestedVm.ps1 -VmName NAME'
    exit 1
}
$vm = Get-VM -Name $VmName
if (-not $vm) {
    exit 1
}
$leastMemory = 4GB
$processor = Get-VMProcessor -VMName $VmName
$spoofing = @(Get-VMNetworkAdapter -All | Where-Object { $_.VMName -eq $VmName } | ForEach-Object MacAddressSpoofing)
$planned = 0

Write-Host "To enable nesting, this is what would be changed of ${VmName}:"
if ($vm.State -eq 'Saved') {
    Write-Host '  Its saved state is dropped'
    $planned++
}
elseif ($vm.State -ne 'Off') {
    Write-Host "  It is $($vm.State), and is turned off"
    $planned++
}
if (-not $processor.ExposeVirtualizationExtensions) {
    Write-Host '  Virtualization extensions are exposed'
    $planned++
}
if ($vm.DynamicMemoryEnabled) {
    Write-Host '  Dynamic memory is disabled'
    $planned++
}
if ($spoofing -contains 'Off') {
    Write-Host '  MAC address spoofing may be enabled'
    $planned++
}
if ($vm.MemoryStartup -lt $leastMemory) {
    Write-Host '  Memory may be set to 4 GB'
    $planned++
}
if ($planned -eq 0) {
    Write-Host "  Nothing: $VmName is ready"
    return
}

do {
    $answer = Read-Host 'Enter Y to go on, N to leave everything as it is'
} while ($answer -notlike 'Y*' -and $answer -notlike 'N*')
if ($answer -like 'N*') {
    Write-Host 'Nothing was changed'
    return
}

if ($vm.State -eq 'Saved') {
    Remove-VMSavedState -VMName $VmName
}
elseif ($vm.State -ne 'Off') {
    Stop-VM -VMName $VmName -Force
}
Set-VMProcessor -VMName $VmName -ExposeVirtualizationExtensions $true
if ($vm.DynamicMemoryEnabled) {
    Set-VMMemory -VMName $VmName -DynamicMemoryEnabled $false
}
if ($spoofing -contains 'Off') {
    Write-Host 'Without MAC address spoofing, VMs bridged to a card of this VM have no network.' -ForegroundColor Yellow
    if ((Read-Host 'Enable it? Y or N') -eq 'Y') {
        Get-VMNetworkAdapter -VMName $VmName | Set-VMNetworkAdapter -MacAddressSpoofing On
    }
    else {
        Write-Host 'It stays off'
    }
}
if ($vm.MemoryStartup -lt $leastMemory) {
    Write-Host 'With less than 4 GB, VMs within this VM may not start.' -ForegroundColor Yellow
    if ((Read-Host 'Set memory to 4 GB? Y or N') -eq 'Y') {
        Set-VMMemory -VMName $VmName -StartupBytes 4GB
    }
    else {
        Write-Host 'It stays as it is'
    }
}
