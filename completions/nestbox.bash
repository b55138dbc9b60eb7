# bash completion for nestbox; derived from its options by tools/derive.sh

_nestbox() {
    local current previous verb
    current=${COMP_WORDS[COMP_CWORD]}
    previous=${COMP_WORDS[COMP_CWORD - 1]}
    verb=${COMP_WORDS[1]}
    COMPREPLY=()

    if [ "$COMP_CWORD" = 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W 'run kvm qemu doctor help version --help --version' -- "$current")
        return
    fi
    # --name=value arrives as three words
    if [ "$previous" = = ]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    elif [ "$current" = = ]; then
        current=
    fi
    case $verb:$previous in
    run:--kernel)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    run:--initrd)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    run:--append)
        return
        ;;
    run:--memory)
        mapfile -t COMPREPLY < <(compgen -W '512M 1G 2G 4G' -- "$current")
        return
        ;;
    run:--cpus)
        return
        ;;
    run:--nested)
        mapfile -t COMPREPLY < <(compgen -W 'off intel amd' -- "$current")
        return
        ;;
    run:--accel)
        mapfile -t COMPREPLY < <(compgen -W 'auto engine kvm' -- "$current")
        return
        ;;
    run:--cpu)
        mapfile -t COMPREPLY < <(compgen -W 'max host x86-64 x86-64-v1 x86-64-v2 x86-64-v3 x86-64-v4 legacy32' -- "$current")
        return
        ;;
    run:--serial)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -W 'stdio none pty' -- "$current")
        return
        ;;
    run:--serial-log)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    run:--timeout)
        return
        ;;
    run:--shutdown-timeout)
        return
        ;;
    run:--trace)
        mapfile -t COMPREPLY < <(compgen -W 'entry exits' -- "$current")
        return
        ;;
    run:--trace-file)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    run:--symbols)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    kvm:--nested)
        mapfile -t COMPREPLY < <(compgen -W 'off intel amd host' -- "$current")
        return
        ;;
    kvm:--accel)
        mapfile -t COMPREPLY < <(compgen -W 'auto engine' -- "$current")
        return
        ;;
    kvm:--cpu)
        mapfile -t COMPREPLY < <(compgen -W 'max host x86-64 x86-64-v1 x86-64-v2 x86-64-v3 x86-64-v4 legacy32' -- "$current")
        return
        ;;
    kvm:--trace)
        mapfile -t COMPREPLY < <(compgen -W 'entry exits ioctl unknown run' -- "$current")
        return
        ;;
    kvm:--trace-file)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    kvm:--stats)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    qemu:--nested)
        mapfile -t COMPREPLY < <(compgen -W 'off intel amd host' -- "$current")
        return
        ;;
    qemu:--accel)
        mapfile -t COMPREPLY < <(compgen -W 'auto engine' -- "$current")
        return
        ;;
    qemu:--cpu)
        mapfile -t COMPREPLY < <(compgen -W 'max host x86-64 x86-64-v1 x86-64-v2 x86-64-v3 x86-64-v4 legacy32' -- "$current")
        return
        ;;
    qemu:--trace)
        mapfile -t COMPREPLY < <(compgen -W 'entry exits ioctl unknown run' -- "$current")
        return
        ;;
    qemu:--trace-file)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    qemu:--stats)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    esac
    case $verb in
    run)
        mapfile -t COMPREPLY < <(compgen -W '--kernel --initrd --append --memory --cpus --nested --accel --cpu --serial --serial-log --no-reboot --debug-exit --timeout --shutdown-timeout --trace --trace-file --symbols --stats --help' -- "$current")
        ;;
    kvm)
        mapfile -t COMPREPLY < <(compgen -W '--nested --accel --cpu --trace --trace-file --stats --help' -c -- "$current")
        ;;
    qemu)
        mapfile -t COMPREPLY < <(compgen -W '--nested --accel --cpu --trace --trace-file --stats --help' -- "$current")
        ;;
    doctor)
        mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$current")
        ;;
    help)
        mapfile -t COMPREPLY < <(compgen -W 'run kvm qemu doctor help version --help' -- "$current")
        ;;
    version)
        mapfile -t COMPREPLY < <(compgen -W '--help' -- "$current")
        ;;
    esac
}
complete -F _nestbox nestbox
