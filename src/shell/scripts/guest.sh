# shellcheck shell=bash
# Put before what Invoke-Command runs in a Linux guest, and before the cmdlets of the same names: commands of Windows do
# what they mean here. The hypervisor is KVM with QEMU; Linux needs no restart for it.
export DEBIAN_FRONTEND=noninteractive

nestbox_module() { # the module of KVM for this CPU; none if the CPU has no extensions
    if grep -qw vmx /proc/cpuinfo; then
        echo kvm_intel
    elif grep -qw svm /proc/cpuinfo; then
        echo kvm_amd
    fi
}

nestbox_hypervisor() { # yes or no: whether it is there and can be used; the file alone is there without the module
    if (: <>/dev/kvm) 2>/dev/null && command -v qemu-system-x86_64 >/dev/null; then echo yes; else echo no; fi
}

nestbox_install_hypervisor() {
    local module
    module=$(nestbox_module)
    if [ -z "$module" ]; then
        echo 'The CPU of this machine has neither VT-x nor AMD-V. If it is a VM, they are exposed while it is off:' >&2
        echo '    Set-VMProcessor -VMName NAME -ExposeVirtualizationExtensions $true' >&2
        return 1
    fi
    if ! command -v qemu-system-x86_64 >/dev/null; then
        apt-get -q install -y --no-install-recommends qemu-system-x86 >&2 ||
            { apt-get -q update >&2 && apt-get -q install -y --no-install-recommends qemu-system-x86 >&2; } || return 1
    fi
    modprobe "$module" || return 1
    echo "$module" >/etc/modules-load.d/nestbox.conf
    (: <>/dev/kvm) 2>/dev/null
}

nestbox_is_hypervisor() { # NAME: whether a feature's name means it
    case ${1,,} in
    hyper-v | microsoft-hyper-v | microsoft-hyper-v-all | hyper-v-powershell | hyper-v-tools) return 0 ;;
    esac
    echo "There is no feature $1 here; there is Hyper-V, which is KVM with QEMU" >&2
    return 1
}

nestbox_value() { # PARAMETER ARGUMENT...: the value behind a parameter, else the first that is none
    local wanted=$1 first=
    shift
    while [ $# -gt 0 ]; do
        if [ "${1,,}" = "-${wanted,,}" ]; then
            echo "$2"
            return
        fi
        case $1 in -*) ;; *) first=${first:-$1} ;; esac
        shift
    done
    echo "$first"
}

Install-WindowsFeature() {
    nestbox_is_hypervisor "$(nestbox_value Name "$@")" || return 1
    if nestbox_install_hypervisor; then
        printf '\nSuccess Restart Needed Exit Code Feature Result\n------- -------------- --------- --------------\n'
        printf 'True    No             Success   {Hyper-V}\n\n'
    else
        printf '\nSuccess Restart Needed Exit Code Feature Result\n------- -------------- --------- --------------\n'
        printf 'False   No             Failed    {}\n\n'
        return 1
    fi
}

Enable-WindowsOptionalFeature() {
    nestbox_is_hypervisor "$(nestbox_value FeatureName "$@")" && nestbox_install_hypervisor || return 1
    printf '\nPath          :\nOnline        : True\nRestartNeeded : False\n\n'
}

Get-WindowsFeature() {
    local name box=' ' state=Available
    name=$(nestbox_value Name "$@")
    [ -z "$name" ] || nestbox_is_hypervisor "$name" || return 1
    [ "$(nestbox_hypervisor)" = no ] || { box=X && state=Installed; }
    printf '\nDisplay Name  Name     Install State\n------------  ----     -------------\n'
    printf '[%s] Hyper-V   Hyper-V  %s\n\n' "$box" "$state"
}

Get-WindowsOptionalFeature() {
    nestbox_is_hypervisor "$(nestbox_value FeatureName "$@")" || return 1
    printf '\nFeatureName : Microsoft-Hyper-V\nState       : %s\n\n' \
        "$([ "$(nestbox_hypervisor)" = yes ] && echo Enabled || echo Disabled)"
}

# The container engine: Docker's where it is installed already, and Podman, which Debian has.
nestbox_engine() { # its program; nothing if there is none
    type -P docker || type -P podman
}

nestbox_is_docker() { # NAME: whether it is what Docker's documents install
    case ${1,,} in
    dockerprovider | dockermsftprovider | docker) return 0 ;;
    esac
    echo "There is no $1 here; there is the container engine: DockerProvider and docker" >&2
    return 1
}

nestbox_find_engine() { # sees to it that apt knows a package
    [ -n "$(nestbox_engine)" ] && return
    if ! apt-cache show podman >/dev/null 2>&1; then apt-get -q update >&2; fi
    apt-cache show podman >/dev/null 2>&1 && return
    echo "apt knows no package podman; see /etc/apt/sources.list and this machine's network" >&2
    return 1
}

# The provider is what knows where packages are.
Install-Module() {
    nestbox_is_docker "$(nestbox_value Name "$@")" && nestbox_find_engine
}

Install-Package() {
    local program
    nestbox_is_docker "$(nestbox_value Name "$@")" || return 1
    if [ -z "$(nestbox_engine)" ]; then
        nestbox_find_engine && apt-get -q install -y --no-install-recommends podman >&2 || return 1
    fi
    program=$(nestbox_engine)
    modprobe overlay 2>/dev/null
    printf '\nName    Version  Source  Summary\n----    -------  ------  -------\n'
    printf 'docker  %s  apt     %s, which runs containers\n\n' \
        "$("$program" --version | sed 's/.*version \([^ ,]*\).*/\1/')" "${program##*/}"
}

# A container with a kernel of its own is not here yet; others are the engine's.
docker() {
    local word program
    for word; do
        case ${word,,} in
        --isolation=hyperv)
            echo 'Containers with a kernel of their own, --isolation=hyperv, are not built yet: this line waits' >&2
            echo '    docker run IMAGE runs a container of Linux with the kernel of this machine' >&2
            return 1
            ;;
        esac
    done
    program=$(nestbox_engine)
    if [ -z "$program" ]; then
        echo 'No container engine is installed: Install-Package -Name docker -ProviderName DockerProvider -Force' >&2
        return 127
    fi
    "$program" "$@"
}

# The answer reaches whoever asked before the machine goes.
Restart-Computer() {
    setsid sh -c 'sleep 1; systemctl reboot || reboot' >/dev/null 2>&1 </dev/null &
}

Stop-Computer() {
    setsid sh -c 'sleep 1; systemctl poweroff || poweroff' >/dev/null 2>&1 </dev/null &
}
