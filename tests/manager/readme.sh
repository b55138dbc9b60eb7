#!/bin/bash
# A new user's way: the commands of README.md, as they stand there and in their order, from `nestbox doctor` to the end
# of the section on cmdlets, and what each did. The image is the tests' Debian with the agent, imported under the name
# that `image build` would give it; MORE=1 builds it. What needs a server for ssh is left out where the guest has none.
# cases: way
# more cases: built
# limit: 900
cd "$(dirname "$0")/../.." || exit 1
source tests/cli/lib.sh
NESTBOX=$(realpath "$NESTBOX")
export NESTBOX_HOME=$WORK/home HOME=$WORK/user
unset XDG_RUNTIME_DIR
for tool in qemu-system-x86_64 qemu-img jq debugfs; do
    command -v $tool >/dev/null || { echo "$tool is missing" && exit 77; }
done
[ -e build/disk/test.raw ] || { echo 'no build/disk/test.raw: see tools/test.sh' && exit 77; }
readme=$PWD/README.md
mkdir -p "$HOME/.ssh" "$WORK/bin" "$WORK/data"
ln -s "$NESTBOX" "$WORK/bin/nestbox"
PATH=$WORK/bin:$PATH
echo 'words' >"$WORK/data/file"
echo 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKpB6fHZ0mVgLrc6mNU0C1JkXwDqT0mEZ1x0a9pQ3vZ1' >"$HOME/.ssh/id_ed25519.pub"
trap 'for vm in lab lab2; do timeout 30 nestbox stop $vm --turn-off; done >/dev/null 2>&1; rm -rf "$WORK"' EXIT

[ "${1:-way}" = built ] || agent_disk "$WORK/disk.raw"
cd "$WORK" || exit 1
nb() { timeout 60 nestbox "$@"; }
card() { nb nic list lab --json | jq -e ".[-1]$1" >/dev/null; }
is() { [ "$(nb show lab --json | jq -r "$1")" = "$2" ]; }

effect() { # LINE: is what the command says so?
    case $1 in
    'nestbox doctor') grep -q 'nested' "$WORK/out" ;;
    'nestbox image build'*) nb image show debian >/dev/null ;;
    'nestbox create'*) is .settings.nested amd && [ "$(nb disk list lab --json | jq '.[0].size')" = $((20 << 30)) ] ;;
    'nestbox start'*) is .state Running && is .agent.ready true ;;
    'nestbox exec lab -- uname'*) grep -q '^Linux ' "$WORK/out" ;;
    'nestbox exec lab -- grep'*) [ "$(cat "$WORK/out")" = svm ] ;;
    'nestbox copy'*) [ "$(nb exec lab -- cat /srv/data/file)" = words ] ;;
    'nestbox ssh'*) true ;;
    'nestbox nat'*) nb nat show net >/dev/null ;;
    'nestbox nic add'*) # which the guest sees a moment later
        card '.switch == "net"' &&
            nb exec lab -- timeout 20 sh -c 'until ls /sys/class/net | grep -qvx lo; do sleep 0.2; done' ;;
    'nestbox nic set'*) card '.settings.spoofing == true' ;;
    'nestbox check') ! grep -q 'net' "$WORK/out" ;; # of the network nothing is wrong
    'nestbox checkpoint create'*) nb checkpoint list lab --json | jq -e '.[0].name == "clean"' >/dev/null ;;
    'nestbox checkpoint apply'*) nb checkpoint list lab --json | jq -e '.[0].current' >/dev/null ;;
    'nestbox stop'*) is .state Off ;;
    'nestbox clone'*) nb show lab2 >/dev/null ;;
    'nestbox list') grep -q '^lab ' "$WORK/out" && grep -q '^lab2 ' "$WORK/out" ;;
    'nestbox delete'*) ! nb show lab2 >/dev/null 2>&1 ;;
    *Set-VMProcessor*) ! is .settings.nested off ;;
    *Get-VM*) grep -qE '^lab +Off$' "$WORK/out" ;;
    'nestbox shell') true ;;
    *) false ;;
    esac
}

count=0 patience=300
[ "${1:-way}" = built ] && patience=2000
while IFS= read -r line <&3; do
    command=$line
    case $line in
    'nestbox image build debian')
        [ "${1:-way}" = built ] || command="nestbox image import '$WORK/disk.raw' debian"
        ;;
    'nestbox checkpoint apply'*) command="$line --force" ;; # it asks
    'nestbox check') command='nestbox check || [ $? = 14 ]' ;; # it has advice
    'nestbox ssh lab') # what is typed there is true
        nb exec lab -- sh -c 'command -v sshd || test -x /usr/sbin/sshd' >/dev/null || continue
        command='nestbox ssh lab -o StrictHostKeyChecking=no -- true'
        ;;
    esac
    count=$((count + 1))
    if ! timeout "$patience" bash -c "$command" </dev/null >"$WORK/out" 2>"$WORK/err"; then
        fail "$line" "$(tail -n 5 "$WORK/out" "$WORK/err")"
    elif effect "$line"; then
        pass "$line"
    else
        fail "the effect of $line" "$(tail -n 5 "$WORK/out")"
    fi
done 3< <(sed -n '/^## VMs with a Debian/,/^## What works/s/^    \(nestbox .*\)/\1/p' "$readme" | sed 's/ *# .*//')
check 'all of them were there' [ $count -ge 20 ]
finish
