# bash completion for nestbox; derived from its options by tools/derive.sh

_nestbox() {
    local current previous verb
    current=${COMP_WORDS[COMP_CWORD]}
    previous=${COMP_WORDS[COMP_CWORD - 1]}
    verb=${COMP_WORDS[1]}
    COMPREPLY=()

    if [ "$COMP_CWORD" = 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W 'run doctor help version --help --version' -- "$current")
        return
    fi
    # --name=value arrives as three words
    if [ "$previous" = = ]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    elif [ "$current" = = ]; then
        current=
    fi
    case $previous in
    --kernel)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    --initrd)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    --append)
        return
        ;;
    --memory)
        mapfile -t COMPREPLY < <(compgen -W '512M 1G 2G 4G' -- "$current")
        return
        ;;
    --cpus)
        return
        ;;
    --nested)
        mapfile -t COMPREPLY < <(compgen -W 'off intel amd' -- "$current")
        return
        ;;
    --accel)
        mapfile -t COMPREPLY < <(compgen -W 'auto engine kvm' -- "$current")
        return
        ;;
    --cpu)
        mapfile -t COMPREPLY < <(compgen -W 'max host x86-64 x86-64-v1 x86-64-v2 x86-64-v3 x86-64-v4 legacy32' -- "$current")
        return
        ;;
    --serial)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -W 'stdio none pty' -- "$current")
        return
        ;;
    --serial-log)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    --timeout)
        return
        ;;
    --shutdown-timeout)
        return
        ;;
    --trace)
        mapfile -t COMPREPLY < <(compgen -W 'entry exits' -- "$current")
        return
        ;;
    --trace-file)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    --symbols)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    esac
    case $verb in
    run)
        mapfile -t COMPREPLY < <(compgen -W '--kernel --initrd --append --memory --cpus --nested --accel --cpu --serial --serial-log --no-reboot --debug-exit --timeout --shutdown-timeout --trace --trace-file --symbols --stats --help' -- "$current")
        ;;
    doctor)
        mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$current")
        ;;
    help)
        mapfile -t COMPREPLY < <(compgen -W 'run doctor help version --help' -- "$current")
        ;;
    version)
        mapfile -t COMPREPLY < <(compgen -W '--help' -- "$current")
        ;;
    esac
}
complete -F _nestbox nestbox
