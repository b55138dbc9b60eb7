# Reports whether this host and its VMs are ready for VMs within VMs.
# This is nestbox's own script for the address that Hyper-V's documents name. Hosts need no extensions here: where the
# CPU has none, VMs get them from the engine.

Write-Host 'Getting system information...' -NoNewline
$computer = Get-CimInstance Win32_ComputerSystem
$cpu = Get-CimInstance Win32_Processor | Select-Object -First 1
Write-Host 'done.'

$report = [pscustomobject]@{
    Computer = $computer.Name
    Manufacturer = $computer.Manufacturer
    Model = $computer.Model
    ProcessorManufacturer = $cpu.Manufacturer
    ProcessorName = $cpu.Name
    ExtensionsOfTheHost = $cpu.VMMonitorModeExtensions
    HostIsVirtual = $computer.HypervisorPresent
    HostNestedSupport = $true
}
Write-Host "The virtualization host $($computer.Name) supports nested virtualization: " -NoNewline
Write-Host 'YES' -ForegroundColor White -BackgroundColor DarkGreen
$report

Write-Host 'Looking for VMs...' -NoNewline
$vms = @(Get-VM)
Write-Host "found $($vms.Count) VMs."
foreach ($vm in $vms) {
    $errors = @()
    $processor = Get-VMProcessor -VMName $vm.Name
    if (-not $processor.ExposeVirtualizationExtensions) {
        $errors += 'virtualization extensions are not exposed: Set-VMProcessor -ExposeVirtualizationExtensions $true'
    }
    if ($vm.DynamicMemoryEnabled) {
        $errors += 'dynamic memory is enabled, and does not move while a hypervisor runs in the VM'
    }
    if ($vm.State -eq 'Saved') {
        $errors += 'the VM is saved, so its settings do not change: Start-VM or Remove-VMSavedState'
    }
    $good = $errors.Count -eq 0
    Write-Host "$($vm.Name) supports nested virtualization: " -NoNewline
    if ($good) {
        Write-Host 'YES' -ForegroundColor White -BackgroundColor DarkGreen
    }
    else {
        Write-Host 'NO' -ForegroundColor White -BackgroundColor DarkRed
        foreach ($e in $errors) {
            Write-Host "  $e"
        }
    }
    [pscustomobject]@{
        Name = $vm.Name
        SupportsNesting = $good
        ExposeVirtualizationExtensions = $processor.ExposeVirtualizationExtensions
        DynamicMemoryEnabled = $vm.DynamicMemoryEnabled
        State = $vm.State
        NestedHypervisorActive = $vm.NestedHypervisorActive
        VmCfgErrors = $errors
    }
}
