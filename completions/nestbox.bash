# bash completion for nestbox; derived from its options by tools/derive.sh

_nestbox_names() {
    local name names=() files=
    while IFS= read -r name; do
        if [ "$name" = / ]; then
            files=1
        elif [[ ${name,,} == "${current,,}"* ]]; then
            names+=("$name")
        fi
    done < <(nestbox derive next "${COMP_WORDS[@]:1:COMP_CWORD-1}" 2>/dev/null)
    if [ "$files" ]; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
    elif [ ${#names[@]} -gt 0 ]; then
        mapfile -t names < <(printf '%q\n' "${names[@]}")
    fi
    COMPREPLY+=("${names[@]}")
    [[ ${#COMPREPLY[@]} != 1 || ${COMPREPLY[0]} != *: ]] || compopt -o nospace 2>/dev/null
}

_nestbox() {
    local current previous verb
    current=${COMP_WORDS[COMP_CWORD]}
    previous=${COMP_WORDS[COMP_CWORD - 1]}
    verb=${COMP_WORDS[1]}
    COMPREPLY=()

    if [ "$COMP_CWORD" = 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W 'run create list show set rename delete clone export import disk memory share host rules start stop restart pause resume save autostart autostop console view screenshot top stats meter events logs checkpoint exec copy ssh kvm qemu switch nat nic image check shell doctor completion help version --help --version' -- "$current")
        return
    fi
    # --name=value arrives as three words
    if [ "$previous" = = ]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    elif [ "$current" = = ]; then
        current=
    fi
    case $verb in
    disk)
        if [ "$COMP_CWORD" = 2 ]; then
            mapfile -t COMPREPLY < <(compgen -W 'add set remove list create resize compact convert merge check --help' -- "$current")
            return
        fi
        verb="$verb ${COMP_WORDS[2]}"
        ;;
    memory)
        if [ "$COMP_CWORD" = 2 ]; then
            mapfile -t COMPREPLY < <(compgen -W 'list set --help' -- "$current")
            return
        fi
        verb="$verb ${COMP_WORDS[2]}"
        ;;
    share)
        if [ "$COMP_CWORD" = 2 ]; then
            mapfile -t COMPREPLY < <(compgen -W 'add remove list --help' -- "$current")
            return
        fi
        verb="$verb ${COMP_WORDS[2]}"
        ;;
    host)
        if [ "$COMP_CWORD" = 2 ]; then
            mapfile -t COMPREPLY < <(compgen -W 'show set --help' -- "$current")
            return
        fi
        verb="$verb ${COMP_WORDS[2]}"
        ;;
    checkpoint)
        if [ "$COMP_CWORD" = 2 ]; then
            mapfile -t COMPREPLY < <(compgen -W 'create list show apply rename delete --help' -- "$current")
            return
        fi
        verb="$verb ${COMP_WORDS[2]}"
        ;;
    switch)
        if [ "$COMP_CWORD" = 2 ]; then
            mapfile -t COMPREPLY < <(compgen -W 'create list show set delete start stop run capture --help' -- "$current")
            return
        fi
        verb="$verb ${COMP_WORDS[2]}"
        ;;
    nat)
        if [ "$COMP_CWORD" = 2 ]; then
            mapfile -t COMPREPLY < <(compgen -W 'create list show set map unmap release delete --help' -- "$current")
            return
        fi
        verb="$verb ${COMP_WORDS[2]}"
        ;;
    nic)
        if [ "$COMP_CWORD" = 2 ]; then
            mapfile -t COMPREPLY < <(compgen -W 'add set remove list --help' -- "$current")
            return
        fi
        verb="$verb ${COMP_WORDS[2]}"
        ;;
    image)
        if [ "$COMP_CWORD" = 2 ]; then
            mapfile -t COMPREPLY < <(compgen -W 'build import list show delete --help' -- "$current")
            return
        fi
        verb="$verb ${COMP_WORDS[2]}"
        ;;
    esac
    case $verb:$previous in
    'run:--kernel')
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    'run:--initrd')
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    'run:--append')
        return
        ;;
    'run:--memory')
        mapfile -t COMPREPLY < <(compgen -W '512M 1G 2G 4G' -- "$current")
        return
        ;;
    'run:--unpack')
        mapfile -t COMPREPLY < <(compgen -W 'off on keep' -- "$current")
        return
        ;;
    'run:--cpus')
        return
        ;;
    'run:--nested')
        mapfile -t COMPREPLY < <(compgen -W 'off intel amd' -- "$current")
        return
        ;;
    'run:--accel')
        mapfile -t COMPREPLY < <(compgen -W 'auto engine kvm' -- "$current")
        return
        ;;
    'run:--cpu')
        mapfile -t COMPREPLY < <(compgen -W 'max host x86-64 x86-64-v1 x86-64-v2 x86-64-v3 x86-64-v4 legacy32' -- "$current")
        return
        ;;
    'run:--direct')
        mapfile -t COMPREPLY < <(compgen -W 'off auto on' -- "$current")
        return
        ;;
    'run:--mapped')
        mapfile -t COMPREPLY < <(compgen -W 'off kernel auto on' -- "$current")
        return
        ;;
    'run:--serial')
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -W 'stdio none pty' -- "$current")
        return
        ;;
    'run:--serial-log')
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    'run:--timeout')
        return
        ;;
    'run:--shutdown-timeout')
        return
        ;;
    'run:--trace')
        mapfile -t COMPREPLY < <(compgen -W 'entry exits' -- "$current")
        return
        ;;
    'run:--trace-file')
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    'run:--symbols')
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    'create:--notes')
        return
        ;;
    'create:--template')
        return
        ;;
    'create:--generation')
        mapfile -t COMPREPLY < <(compgen -W '1 2' -- "$current")
        return
        ;;
    'create:--cpus')
        return
        ;;
    'create:--nested')
        mapfile -t COMPREPLY < <(compgen -W 'off intel amd on' -- "$current")
        return
        ;;
    'create:--cpu')
        mapfile -t COMPREPLY < <(compgen -W 'max host x86-64 x86-64-v1 x86-64-v2 x86-64-v3 x86-64-v4' -- "$current")
        return
        ;;
    'create:--accel')
        mapfile -t COMPREPLY < <(compgen -W 'auto engine kvm' -- "$current")
        return
        ;;
    'create:--direct')
        mapfile -t COMPREPLY < <(compgen -W 'off auto on' -- "$current")
        return
        ;;
    'create:--cpu-maximum')
        return
        ;;
    'create:--cpu-reserve')
        return
        ;;
    'create:--cpu-weight')
        return
        ;;
    'create:--enlightenments')
        return
        ;;
    'create:--memory')
        mapfile -t COMPREPLY < <(compgen -W '512M 1G 2G 4G' -- "$current")
        return
        ;;
    'create:--dynamic-memory')
        return
        ;;
    'create:--memory-minimum')
        return
        ;;
    'create:--memory-maximum')
        return
        ;;
    'create:--memory-buffer')
        return
        ;;
    'create:--memory-priority')
        return
        ;;
    'create:--memory-cap')
        return
        ;;
    'create:--secure-boot')
        return
        ;;
    'create:--tpm')
        return
        ;;
    'create:--boot')
        mapfile -t COMPREPLY < <(compgen -W 'disk network cd disk,network' -- "$current")
        return
        ;;
    'create:--display')
        mapfile -t COMPREPLY < <(compgen -W 'none vnc' -- "$current")
        return
        ;;
    'create:--auto-start')
        mapfile -t COMPREPLY < <(compgen -W 'nothing if-running start' -- "$current")
        return
        ;;
    'create:--start-delay')
        return
        ;;
    'create:--auto-stop')
        mapfile -t COMPREPLY < <(compgen -W 'save turn-off shut-down' -- "$current")
        return
        ;;
    'create:--error-action')
        mapfile -t COMPREPLY < <(compgen -W 'pause none' -- "$current")
        return
        ;;
    'create:--error-timeout')
        return
        ;;
    'create:--checkpoints')
        mapfile -t COMPREPLY < <(compgen -W 'production production-only standard disabled' -- "$current")
        return
        ;;
    'create:--metering')
        return
        ;;
    'create:--image')
        _nestbox_names
        return
        ;;
    'create:--size')
        mapfile -t COMPREPLY < <(compgen -W '20G 40G' -- "$current")
        return
        ;;
    'create:--user-data')
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    'create:--ssh-key')
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    'create:--disk')
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -W '20G' -- "$current")
        return
        ;;
    'create:--base')
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    'create:--cd')
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    'create:--switch')
        _nestbox_names
        return
        ;;
    'set:--notes')
        return
        ;;
    'set:--template')
        return
        ;;
    'set:--generation')
        mapfile -t COMPREPLY < <(compgen -W '1 2' -- "$current")
        return
        ;;
    'set:--cpus')
        return
        ;;
    'set:--nested')
        mapfile -t COMPREPLY < <(compgen -W 'off intel amd on' -- "$current")
        return
        ;;
    'set:--cpu')
        mapfile -t COMPREPLY < <(compgen -W 'max host x86-64 x86-64-v1 x86-64-v2 x86-64-v3 x86-64-v4' -- "$current")
        return
        ;;
    'set:--accel')
        mapfile -t COMPREPLY < <(compgen -W 'auto engine kvm' -- "$current")
        return
        ;;
    'set:--direct')
        mapfile -t COMPREPLY < <(compgen -W 'off auto on' -- "$current")
        return
        ;;
    'set:--cpu-maximum')
        return
        ;;
    'set:--cpu-reserve')
        return
        ;;
    'set:--cpu-weight')
        return
        ;;
    'set:--enlightenments')
        return
        ;;
    'set:--memory')
        mapfile -t COMPREPLY < <(compgen -W '512M 1G 2G 4G' -- "$current")
        return
        ;;
    'set:--dynamic-memory')
        return
        ;;
    'set:--memory-minimum')
        return
        ;;
    'set:--memory-maximum')
        return
        ;;
    'set:--memory-buffer')
        return
        ;;
    'set:--memory-priority')
        return
        ;;
    'set:--memory-cap')
        return
        ;;
    'set:--secure-boot')
        return
        ;;
    'set:--tpm')
        return
        ;;
    'set:--boot')
        mapfile -t COMPREPLY < <(compgen -W 'disk network cd disk,network' -- "$current")
        return
        ;;
    'set:--display')
        mapfile -t COMPREPLY < <(compgen -W 'none vnc' -- "$current")
        return
        ;;
    'set:--auto-start')
        mapfile -t COMPREPLY < <(compgen -W 'nothing if-running start' -- "$current")
        return
        ;;
    'set:--start-delay')
        return
        ;;
    'set:--auto-stop')
        mapfile -t COMPREPLY < <(compgen -W 'save turn-off shut-down' -- "$current")
        return
        ;;
    'set:--error-action')
        mapfile -t COMPREPLY < <(compgen -W 'pause none' -- "$current")
        return
        ;;
    'set:--error-timeout')
        return
        ;;
    'set:--checkpoints')
        mapfile -t COMPREPLY < <(compgen -W 'production production-only standard disabled' -- "$current")
        return
        ;;
    'set:--metering')
        return
        ;;
    'export:--live')
        mapfile -t COMPREPLY < <(compgen -W 'saved consistent' -- "$current")
        return
        ;;
    'export:--checkpoint')
        _nestbox_names
        return
        ;;
    'import:--switch')
        _nestbox_names
        return
        ;;
    'disk add:--kind')
        mapfile -t COMPREPLY < <(compgen -W 'disk cd floppy' -- "$current")
        return
        ;;
    'disk add:--bus')
        mapfile -t COMPREPLY < <(compgen -W 'virtio scsi lsi sata nvme ide' -- "$current")
        return
        ;;
    'disk add:--controller')
        return
        ;;
    'disk add:--location')
        return
        ;;
    'disk add:--format')
        mapfile -t COMPREPLY < <(compgen -W 'qcow2 raw vhdx vpc vmdk' -- "$current")
        return
        ;;
    'disk add:--read-only')
        return
        ;;
    'disk add:--iops-maximum')
        return
        ;;
    'disk add:--bytes-maximum')
        mapfile -t COMPREPLY < <(compgen -W '0 10M 100M' -- "$current")
        return
        ;;
    'disk add:--base')
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    'disk set:--bus')
        mapfile -t COMPREPLY < <(compgen -W 'virtio scsi lsi sata nvme ide' -- "$current")
        return
        ;;
    'disk set:--controller')
        return
        ;;
    'disk set:--location')
        return
        ;;
    'disk set:--path')
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    'disk set:--format')
        mapfile -t COMPREPLY < <(compgen -W 'qcow2 raw vhdx vpc vmdk' -- "$current")
        return
        ;;
    'disk set:--read-only')
        return
        ;;
    'disk set:--iops-maximum')
        return
        ;;
    'disk set:--bytes-maximum')
        mapfile -t COMPREPLY < <(compgen -W '0 10M 100M' -- "$current")
        return
        ;;
    'disk create:--format')
        mapfile -t COMPREPLY < <(compgen -W 'qcow2 raw vhdx vhd vmdk vdi' -- "$current")
        return
        ;;
    'disk create:--base')
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    'disk convert:--format')
        mapfile -t COMPREPLY < <(compgen -W 'qcow2 raw vhdx vhd vmdk vdi' -- "$current")
        return
        ;;
    'memory set:--memory')
        mapfile -t COMPREPLY < <(compgen -W '512M 1G 2G 4G' -- "$current")
        return
        ;;
    'memory set:--dynamic-memory')
        return
        ;;
    'memory set:--memory-minimum')
        return
        ;;
    'memory set:--memory-maximum')
        return
        ;;
    'memory set:--memory-buffer')
        return
        ;;
    'memory set:--memory-priority')
        return
        ;;
    'memory set:--memory-cap')
        return
        ;;
    'share add:--tag')
        return
        ;;
    'share add:--read-only')
        return
        ;;
    'host set:--profile')
        mapfile -t COMPREPLY < <(compgen -W 'open preview ws2016 ws2019 ws2022 ws2025' -- "$current")
        return
        ;;
    'rules:--profile')
        mapfile -t COMPREPLY < <(compgen -W 'open preview ws2016 ws2019 ws2022 ws2025' -- "$current")
        return
        ;;
    'start:--timeout')
        return
        ;;
    'stop:--timeout')
        return
        ;;
    'restart:--timeout')
        return
        ;;
    'autostop:--timeout')
        return
        ;;
    'screenshot:--write')
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    'top:--seconds')
        return
        ;;
    'checkpoint create:--name')
        return
        ;;
    'checkpoint create:--kind')
        mapfile -t COMPREPLY < <(compgen -W 'production production-only standard as-set' -- "$current")
        return
        ;;
    'exec:--env')
        return
        ;;
    'exec:--user')
        return
        ;;
    'exec:--workdir')
        return
        ;;
    'copy:--user')
        return
        ;;
    'ssh:--user')
        return
        ;;
    'kvm:--nested')
        mapfile -t COMPREPLY < <(compgen -W 'off intel amd host' -- "$current")
        return
        ;;
    'kvm:--accel')
        mapfile -t COMPREPLY < <(compgen -W 'auto engine kvm' -- "$current")
        return
        ;;
    'kvm:--cpu')
        mapfile -t COMPREPLY < <(compgen -W 'max host x86-64 x86-64-v1 x86-64-v2 x86-64-v3 x86-64-v4 legacy32' -- "$current")
        return
        ;;
    'kvm:--direct')
        mapfile -t COMPREPLY < <(compgen -W 'off auto on' -- "$current")
        return
        ;;
    'kvm:--probe-file')
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    'kvm:--trace')
        mapfile -t COMPREPLY < <(compgen -W 'entry exits ioctl unknown run' -- "$current")
        return
        ;;
    'kvm:--trace-file')
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    'kvm:--symbols')
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    'kvm:--stats')
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    'qemu:--nested')
        mapfile -t COMPREPLY < <(compgen -W 'off intel amd host' -- "$current")
        return
        ;;
    'qemu:--accel')
        mapfile -t COMPREPLY < <(compgen -W 'auto engine kvm' -- "$current")
        return
        ;;
    'qemu:--cpu')
        mapfile -t COMPREPLY < <(compgen -W 'max host x86-64 x86-64-v1 x86-64-v2 x86-64-v3 x86-64-v4 legacy32' -- "$current")
        return
        ;;
    'qemu:--direct')
        mapfile -t COMPREPLY < <(compgen -W 'off auto on' -- "$current")
        return
        ;;
    'qemu:--probe-file')
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    'qemu:--trace')
        mapfile -t COMPREPLY < <(compgen -W 'entry exits ioctl unknown run' -- "$current")
        return
        ;;
    'qemu:--trace-file')
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    'qemu:--symbols')
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    'qemu:--stats')
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    'switch create:--type')
        mapfile -t COMPREPLY < <(compgen -W 'private internal external nat' -- "$current")
        return
        ;;
    'switch create:--interface')
        _nestbox_names
        return
        ;;
    'switch create:--host')
        return
        ;;
    'switch create:--address')
        return
        ;;
    'switch create:--keep')
        return
        ;;
    'switch create:--notes')
        return
        ;;
    'switch create:--prefix')
        return
        ;;
    'switch create:--prefix6')
        return
        ;;
    'switch create:--backend')
        mapfile -t COMPREPLY < <(compgen -W 'auto slirp kernel' -- "$current")
        return
        ;;
    'switch create:--dhcp')
        return
        ;;
    'switch create:--dns')
        return
        ;;
    'switch set:--type')
        mapfile -t COMPREPLY < <(compgen -W 'private internal external nat' -- "$current")
        return
        ;;
    'switch set:--interface')
        _nestbox_names
        return
        ;;
    'switch set:--host')
        return
        ;;
    'switch set:--address')
        return
        ;;
    'switch set:--keep')
        return
        ;;
    'switch set:--notes')
        return
        ;;
    'switch capture:--port')
        _nestbox_names
        return
        ;;
    'switch capture:--write')
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    'nat create:--prefix')
        return
        ;;
    'nat create:--prefix6')
        return
        ;;
    'nat create:--switch')
        _nestbox_names
        return
        ;;
    'nat create:--backend')
        mapfile -t COMPREPLY < <(compgen -W 'auto slirp kernel' -- "$current")
        return
        ;;
    'nat create:--dhcp')
        return
        ;;
    'nat create:--dns')
        return
        ;;
    'nat set:--prefix')
        return
        ;;
    'nat set:--prefix6')
        return
        ;;
    'nat set:--backend')
        mapfile -t COMPREPLY < <(compgen -W 'auto slirp kernel' -- "$current")
        return
        ;;
    'nat set:--dhcp')
        return
        ;;
    'nat set:--dns')
        return
        ;;
    'nat map:--protocol')
        mapfile -t COMPREPLY < <(compgen -W 'tcp udp' -- "$current")
        return
        ;;
    'nat map:--external')
        return
        ;;
    'nat map:--internal')
        return
        ;;
    'nat unmap:--protocol')
        mapfile -t COMPREPLY < <(compgen -W 'tcp udp' -- "$current")
        return
        ;;
    'nat unmap:--external')
        return
        ;;
    'nic add:--name')
        return
        ;;
    'nic add:--switch')
        _nestbox_names
        return
        ;;
    'nic add:--mac')
        return
        ;;
    'nic add:--spoofing')
        return
        ;;
    'nic add:--dhcp-guard')
        return
        ;;
    'nic add:--router-guard')
        return
        ;;
    'nic add:--protect')
        return
        ;;
    'nic add:--mirror')
        mapfile -t COMPREPLY < <(compgen -W 'none source destination' -- "$current")
        return
        ;;
    'nic add:--bandwidth-minimum')
        mapfile -t COMPREPLY < <(compgen -W '0 10M 100M 1G' -- "$current")
        return
        ;;
    'nic add:--bandwidth-maximum')
        mapfile -t COMPREPLY < <(compgen -W '0 10M 100M 1G' -- "$current")
        return
        ;;
    'nic add:--storm-limit')
        return
        ;;
    'nic add:--vlan')
        return
        ;;
    'nic add:--trunk')
        return
        ;;
    'nic set:--switch')
        _nestbox_names
        return
        ;;
    'nic set:--mac')
        return
        ;;
    'nic set:--spoofing')
        return
        ;;
    'nic set:--dhcp-guard')
        return
        ;;
    'nic set:--router-guard')
        return
        ;;
    'nic set:--protect')
        return
        ;;
    'nic set:--mirror')
        mapfile -t COMPREPLY < <(compgen -W 'none source destination' -- "$current")
        return
        ;;
    'nic set:--bandwidth-minimum')
        mapfile -t COMPREPLY < <(compgen -W '0 10M 100M 1G' -- "$current")
        return
        ;;
    'nic set:--bandwidth-maximum')
        mapfile -t COMPREPLY < <(compgen -W '0 10M 100M 1G' -- "$current")
        return
        ;;
    'nic set:--storm-limit')
        return
        ;;
    'nic set:--vlan')
        return
        ;;
    'nic set:--trunk')
        return
        ;;
    'image build:--size')
        mapfile -t COMPREPLY < <(compgen -W '4G 8G 16G' -- "$current")
        return
        ;;
    'image build:--package')
        return
        ;;
    'image build:--mirror')
        return
        ;;
    'image build:--hostname')
        return
        ;;
    'image import:--format')
        mapfile -t COMPREPLY < <(compgen -W 'auto qcow2 raw vhdx vhd' -- "$current")
        return
        ;;
    'shell:--command')
        return
        ;;
    esac
    case $verb in
    'run')
        mapfile -t COMPREPLY < <(compgen -W '--kernel --initrd --append --memory --unpack --cpus --nested --accel --cpu --direct --mapped --serial --serial-log --no-reboot --debug-exit --timeout --shutdown-timeout --trace --trace-file --symbols --perf-map --stats --help' -- "$current")
        ;;
    'create')
        mapfile -t COMPREPLY < <(compgen -W '--notes --template --generation --cpus --nested --cpu --accel --direct --cpu-maximum --cpu-reserve --cpu-weight --enlightenments --memory --dynamic-memory --memory-minimum --memory-maximum --memory-buffer --memory-priority --memory-cap --secure-boot --tpm --boot --display --auto-start --start-delay --auto-stop --error-action --error-timeout --checkpoints --metering --image --size --user-data --ssh-key --disk --base --cd --switch --json --help' -- "$current")
        ;;
    'list')
        mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'show')
        mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'set')
        mapfile -t COMPREPLY < <(compgen -W '--notes --template --generation --cpus --nested --cpu --accel --direct --cpu-maximum --cpu-reserve --cpu-weight --enlightenments --memory --dynamic-memory --memory-minimum --memory-maximum --memory-buffer --memory-priority --memory-cap --secure-boot --tpm --boot --display --auto-start --start-delay --auto-stop --error-action --error-timeout --checkpoints --metering --json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'rename')
        mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'delete')
        mapfile -t COMPREPLY < <(compgen -W '--force --json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'clone')
        mapfile -t COMPREPLY < <(compgen -W '--linked --template --json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'export')
        mapfile -t COMPREPLY < <(compgen -W '--archive --live --checkpoint --json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'import')
        mapfile -t COMPREPLY < <(compgen -W '--in-place --new-id --switch --check --json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'disk add')
        mapfile -t COMPREPLY < <(compgen -W '--kind --bus --controller --location --format --read-only --iops-maximum --bytes-maximum --base --json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'disk set')
        mapfile -t COMPREPLY < <(compgen -W '--bus --controller --location --path --format --read-only --iops-maximum --bytes-maximum --json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'disk remove')
        mapfile -t COMPREPLY < <(compgen -W '--delete --json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'disk list')
        mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'disk create')
        mapfile -t COMPREPLY < <(compgen -W '--format --base --json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'disk resize')
        mapfile -t COMPREPLY < <(compgen -W '--shrink --json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'disk compact')
        mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'disk convert')
        mapfile -t COMPREPLY < <(compgen -W '--format --json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'disk merge')
        mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'disk check')
        mapfile -t COMPREPLY < <(compgen -W '--repair --json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'memory list')
        mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'memory set')
        mapfile -t COMPREPLY < <(compgen -W '--memory --dynamic-memory --memory-minimum --memory-maximum --memory-buffer --memory-priority --memory-cap --json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'share add')
        mapfile -t COMPREPLY < <(compgen -W '--tag --read-only --json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'share remove')
        mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'share list')
        mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'host show')
        mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$current")
        ;;
    'host set')
        mapfile -t COMPREPLY < <(compgen -W '--profile --json --help' -- "$current")
        ;;
    'rules')
        mapfile -t COMPREPLY < <(compgen -W '--profile --json --help' -- "$current")
        ;;
    'start')
        mapfile -t COMPREPLY < <(compgen -W '--wait --timeout --all --json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'stop')
        mapfile -t COMPREPLY < <(compgen -W '--turn-off --save --timeout --all --json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'restart')
        mapfile -t COMPREPLY < <(compgen -W '--hard --timeout --all --json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'pause')
        mapfile -t COMPREPLY < <(compgen -W '--all --json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'resume')
        mapfile -t COMPREPLY < <(compgen -W '--all --json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'save')
        mapfile -t COMPREPLY < <(compgen -W '--all --json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'autostart')
        mapfile -t COMPREPLY < <(compgen -W '--help' -- "$current")
        ;;
    'autostop')
        mapfile -t COMPREPLY < <(compgen -W '--timeout --help' -- "$current")
        ;;
    'console')
        mapfile -t COMPREPLY < <(compgen -W '--no-history --print --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'view')
        mapfile -t COMPREPLY < <(compgen -W '--help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'screenshot')
        mapfile -t COMPREPLY < <(compgen -W '--write --json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'top')
        mapfile -t COMPREPLY < <(compgen -W '--seconds --json --help' -- "$current")
        ;;
    'stats')
        mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'meter')
        mapfile -t COMPREPLY < <(compgen -W '--reset --json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'events')
        mapfile -t COMPREPLY < <(compgen -W '--help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'logs')
        mapfile -t COMPREPLY < <(compgen -W '--follow --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'checkpoint create')
        mapfile -t COMPREPLY < <(compgen -W '--name --kind --json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'checkpoint list')
        mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'checkpoint show')
        mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'checkpoint apply')
        mapfile -t COMPREPLY < <(compgen -W '--force --json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'checkpoint rename')
        mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'checkpoint delete')
        mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'exec')
        mapfile -t COMPREPLY < <(compgen -W '--terminal --interactive --env --user --workdir --help' -c -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'copy')
        mapfile -t COMPREPLY < <(compgen -W '--recursive --user --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'ssh')
        mapfile -t COMPREPLY < <(compgen -W '--user --proxy --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'kvm')
        mapfile -t COMPREPLY < <(compgen -W '--nested --accel --cpu --direct --probe-file --trace --trace-file --symbols --perf-map --stats --help' -c -- "$current")
        ;;
    'qemu')
        mapfile -t COMPREPLY < <(compgen -W '--nested --accel --cpu --direct --probe-file --trace --trace-file --symbols --perf-map --stats --help' -- "$current")
        ;;
    'switch create')
        mapfile -t COMPREPLY < <(compgen -W '--type --interface --host --address --keep --notes --prefix --prefix6 --backend --dhcp --dns --json --help' -- "$current")
        ;;
    'switch list')
        mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$current")
        ;;
    'switch show')
        mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'switch set')
        mapfile -t COMPREPLY < <(compgen -W '--type --interface --host --address --keep --notes --json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'switch delete')
        mapfile -t COMPREPLY < <(compgen -W '--force --json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'switch start')
        mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'switch stop')
        mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'switch run')
        mapfile -t COMPREPLY < <(compgen -W '--help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'switch capture')
        mapfile -t COMPREPLY < <(compgen -W '--port --drops --write --json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'nat create')
        mapfile -t COMPREPLY < <(compgen -W '--prefix --prefix6 --switch --backend --dhcp --dns --json --help' -- "$current")
        ;;
    'nat list')
        mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$current")
        ;;
    'nat show')
        mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'nat set')
        mapfile -t COMPREPLY < <(compgen -W '--prefix --prefix6 --backend --dhcp --dns --json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'nat map')
        mapfile -t COMPREPLY < <(compgen -W '--protocol --external --internal --json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'nat unmap')
        mapfile -t COMPREPLY < <(compgen -W '--protocol --external --json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'nat release')
        mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'nat delete')
        mapfile -t COMPREPLY < <(compgen -W '--force --json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'nic add')
        mapfile -t COMPREPLY < <(compgen -W '--name --switch --mac --spoofing --dhcp-guard --router-guard --protect --mirror --bandwidth-minimum --bandwidth-maximum --storm-limit --vlan --trunk --json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'nic set')
        mapfile -t COMPREPLY < <(compgen -W '--switch --mac --spoofing --dhcp-guard --router-guard --protect --mirror --bandwidth-minimum --bandwidth-maximum --storm-limit --vlan --trunk --json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'nic remove')
        mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'nic list')
        mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'image build')
        mapfile -t COMPREPLY < <(compgen -W '--size --package --mirror --hostname --json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'image import')
        mapfile -t COMPREPLY < <(compgen -W '--format --json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'image list')
        mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$current")
        ;;
    'image show')
        mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'image delete')
        mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'check')
        mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'shell')
        mapfile -t COMPREPLY < <(compgen -W '--command --help' -- "$current")
        ;;
    'doctor')
        mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$current")
        ;;
    'completion')
        mapfile -t COMPREPLY < <(compgen -W '--help' -- "$current")
        [[ $current == -* ]] || _nestbox_names
        ;;
    'help')
        mapfile -t COMPREPLY < <(compgen -W 'run create list show set rename delete clone export import disk memory share host rules start stop restart pause resume save autostart autostop console view screenshot top stats meter events logs checkpoint exec copy ssh kvm qemu switch nat nic image check shell doctor completion help version --help' -- "$current")
        ;;
    'version')
        mapfile -t COMPREPLY < <(compgen -W '--help' -- "$current")
        ;;
    esac
}
complete -F _nestbox nestbox
