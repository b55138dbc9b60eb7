#!/bin/bash
# The commands of the documents that the project follows, as they are printed, byte by byte: one file per document,
# seedNNN.txt, with a line per command: its number in docs/seeds.md, "run" or what it waits for, the command. Only
# placeholders are filled in. The effect of each is looked at by other means than the shell's.
# limit: 600
# cases: 000 002 003 004
source "$(dirname "$0")/../net/lib.sh" # in namespaces of their own
has jq qemu-system-x86_64
document=${1:-000}
outside
export HOME=$work/userhome
mkdir -p "$HOME"
shell() { timeout 120 "$NB" shell "$@"; }
vm() { nb show demo --json | jq -r "$1"; }
card() { nb nic list demo --json | jq -r ".[0]$1"; }
checkpoint() { nb checkpoint list demo --json | jq -e "$1"; }
host_address() { ip -4 -o address show | grep -q "inet $1 "; }

# What a reader puts in place of the documents' names.
fill() {
    sed -e 's/<VMName>/demo/; s/vm_name/demo/; s/"NestedLabVM01"/"demo"/; s/"DemoVM"/"demo"/' \
        -e 's/<my DNS server>/192.0.2.53/; s/SwitchName”/NAT-Switch”/; s/network_name/NAT-net/' \
        -e 's|ip-address/netmask|192.168.101.0/24|; s/adapter_name/vEthernet (NAT-Switch)/' \
        -e 's/ip_address/192.168.101.1/; s/mask_number/24/'
}

# The state that a document takes for granted.
nb switch create lab
nb create demo --memory 256M --cpus 2 --accel engine --display none --switch lab
case $document in
003) nb set demo --dynamic-memory on --memory-minimum 128M --memory-maximum 1G ;;
esac

check() { # NUMBER: whether the command did what it says; its output is in $work/out
    case $document:$1 in
    *:C1) [ "$(vm .settings.nested)" = on ] ;;
    *:C2) [ "$(vm .settings.nested)" = off ] ;;
    *:C3 | *:C25) [ "$(card .settings.spoofing)" = true ] ;;
    *:C4) nb switch show VmNAT --json | jq -e '.running and .switch.settings.type == "internal"' ;;
    *:C6) nb nat show LocalNAT --json | jq -e '.settings.prefix == "192.168.100.0/24"' ;;
    *:C8) host_address 192.168.100.1/24 && nb nat show LocalNAT --json | jq -e '.switch == "VmNAT"' ;;
    *:C9) grep -q '192.168.100.2' "$work/out" && ! ip route show default | grep -q 192.168.100.1 ;;
    *:C10) grep -q '192.0.2.53' "$work/err" ;;
    *:C5) nb switch show NAT-Switch --json | jq -e '.switch.settings.type == "internal"' ;;
    *:C7) nb nat show NAT-net --json | jq -e '.settings.prefix == "192.168.101.0/24"' ;;
    *:C11) host_address 192.168.101.1/24 && nb nat show NAT-net --json | jq -e '.switch == "NAT-Switch"' ;;
    *:C12) grep -qE '^vEthernet \(NAT-Switch\) +Hyper-V Virtual Ethernet Adapter ' "$work/out" ;;
    *:C13) grep -qE '^ExposeVirtualizationExtensions +: (True|False)$' "$work/out" ;;
    *:C14) grep -qE '^demo +2 +False' "$work/out" ;;
    *:C15) grep -qE '^demo +True$' "$work/out" ;;
    *:C16) [ -s "$HOME/Enable-NestedVm.ps1" ] ;;
    *:C17) [ "$(vm .settings.nested)" = on ] && [ "$(vm .settings.dynamic_memory)" = false ] &&
        [ "$(vm .settings.memory)" = 4294967296 ] && [ "$(card .settings.spoofing)" = true ] ;;
    *:C18) [ -s "$HOME/Get-NestedVirtStatus.ps1" ] ;;
    *:C19) grep -q 'demo supports nested virtualization: YES' "$work/out" ;;
    *:C21) [ "$(vm .state)" = Off ] ;;
    *:C22) [ "$(vm .state)" = Running ] && nb stop demo --turn-off ;;
    *:C26) grep -qE '^demo +On$' "$work/out" ;;
    *:C27) nb switch show NestedExternalSwitch --json |
        jq -e '.switch.settings.type == "external" and .switch.settings.interface == "wan" and .running' ;;
    *:C28) nb switch show NestedInternalSwitch --json | jq -e '.switch.settings.type == "internal" and .running' ;;
    *:C29) [ ! -s "$work/out" ] || grep -q "$(sed -n 's/^vendor_id.*: //p' /proc/cpuinfo | head -n 1)" "$work/out" ;;
    *:C30) [ "$(vm .settings.cpus)" = 8 ] ;;
    *:C31) [ "$(vm .settings.memory)" = 17179869184 ] && [ "$(vm .settings.dynamic_memory)" = false ] ;;
    *:C32) [ "$(vm .settings.dynamic_memory)" = false ] ;;
    *:C36) checkpoint '.[0].name == "BeforeLabSetup"' && nb set demo --notes changed ;;
    *:C37) grep -qE '^demo +BeforeLabSetup +Standard ' "$work/out" ;;
    *:C38) [ "$(vm .settings.notes)" = null ] && checkpoint '.[0].current' ;;
    *) false ;;
    esac >/dev/null
}

count=0 waits=0 variable=
while IFS=$'\t' read -r number state command; do
    if [ "$state" != run ]; then
        waits=$((waits + 1))
        continue
    fi
    line=$(fill <<<"$command")
    # A variable of one line is there in the next.
    [[ $line != '$CPU' ]] || line="$variable"$'\n'"$line"
    [[ $line != '$CPU ='* ]] || variable=$line
    printf 'Y\nY\nY\n' | shell -c "$line" >"$work/out" 2>"$work/err" || {
        cat "$work/out" "$work/err"
        fail "$number failed: $line"
    }
    check "$number" || {
        cat "$work/out" "$work/err"
        fail "$number has no effect: $line"
    }
    case $number in # these say nothing
    C1 | C2 | C3 | C25 | C30 | C31 | C32 | C36 | C38)
        [ ! -s "$work/out" ] || fail "$number prints: $(cat "$work/out")"
        ;;
    esac
    say "$number: $line"
    count=$((count + 1))
done < <(sed 's/\r$//' "tests/shell/seed$document.txt")

# The NAT network that was made so serves a VM.
case $document in
000)
    client lab1 VmNAT
    in_space lab1 ip address add 192.168.100.7/24 dev eth0
    reaches lab1 192.168.100.1 || fail 'no gateway at the switch of the three commands'
    # Typed twice, and taken back: each step has its way.
    again='Get-NetAdapter "vEthernet (VmNat)" | New-NetIPAddress -IPAddress 192.168.100.1 -PrefixLength 24'
    shell -c "$again" >/dev/null 2>"$work/err" && fail 'the address is given twice'
    grep -q 'vEthernet (VmNAT) has the address 192.168.100.1 already' "$work/err" || fail "$(head -n 2 "$work/err")"
    shell -c 'Remove-NetNat LocalNAT -Confirm:$false' || fail 'the network is not removed'
    nb switch show VmNAT --json | jq -e '.running and .switch.settings.type == "internal"' >/dev/null &&
        host_address 192.168.100.1/24 || fail 'the switch is not internal, with its address, any more'
    in_space lab1 ip neighbour flush all # the host's card has another address
    reaches lab1 192.168.100.1 || fail 'a card does not stay at the switch'
    shell -c 'New-NetNat -Name LocalNAT -InternalIPInterfaceAddressPrefix 192.168.100.0/24' >/dev/null ||
        fail 'the network is not made again'
    nb nat show LocalNAT --json | jq -e '.switch == "VmNAT"' >/dev/null || fail 'it is at another switch'
    in_space lab1 ip neighbour flush all
    reaches lab1 192.168.100.1 || fail 'no gateway again'
    ;;
esac
nb delete demo --force >/dev/null
say "$count commands ran, $waits wait"
[ $count -ge 4 ]
