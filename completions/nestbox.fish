# fish completion for nestbox; derived from its options by tools/derive.sh

complete -c nestbox -f
complete -c nestbox -n __fish_use_subcommand -a run -d 'Runs a VM in the foreground'
complete -c nestbox -n __fish_use_subcommand -a kvm -d 'Starts a program that finds a /dev/kvm'
complete -c nestbox -n __fish_use_subcommand -a qemu -d 'Starts QEMU on the engine or the host KVM'
complete -c nestbox -n __fish_use_subcommand -a doctor -d 'Reports what this host offers and which accelerator would be used'
complete -c nestbox -n __fish_use_subcommand -a help -d 'Prints help on all verbs, or on one'
complete -c nestbox -n __fish_use_subcommand -a version -d 'Prints the version'
complete -c nestbox -n '__fish_seen_subcommand_from run' -l kernel -r -F -d 'what to start: Linux bzImage, multiboot 1, PVH ELF; may be gzipped'
complete -c nestbox -n '__fish_seen_subcommand_from run' -l initrd -r -F -d 'initrd or module; may be repeated; "FILE ARGS" for a module'
complete -c nestbox -n '__fish_seen_subcommand_from run' -l append -x -d 'the kernel\'s command line; may be repeated, to add words'
complete -c nestbox -n '__fish_seen_subcommand_from run' -l memory -x -a '512M 1G 2G 4G' -d 'guest memory in MiB, or with K, M, G or T: 2M to 4T (default 1G)'
complete -c nestbox -n '__fish_seen_subcommand_from run' -l cpus -x -d 'number of CPUs: 1 to 256 (default 1)'
complete -c nestbox -n '__fish_seen_subcommand_from run' -l nested -x -a 'off intel amd' -d 'virtualization for the guest: off, intel or amd (default off)'
complete -c nestbox -n '__fish_seen_subcommand_from run' -l accel -x -a 'auto engine kvm' -d 'what runs the CPUs: auto, engine or kvm (default auto)'
complete -c nestbox -n '__fish_seen_subcommand_from run' -l cpu -x -a 'max host x86-64 x86-64-v1 x86-64-v2 x86-64-v3 x86-64-v4 legacy32' -d 'CPU model, with features added or taken away (default max)'
complete -c nestbox -n '__fish_seen_subcommand_from run' -l serial -r -F -a 'stdio none pty' -d 'serial port: stdio, none, pty, file:PATH, unix:PATH[,wait]; repeat for two'
complete -c nestbox -n '__fish_seen_subcommand_from run' -l serial-log -r -F -d 'what the first serial port prints goes there, too'
complete -c nestbox -n '__fish_seen_subcommand_from run' -l no-reboot -d 'end when the guest resets or has a triple fault'
complete -c nestbox -n '__fish_seen_subcommand_from run' -l debug-exit -d 'debug-exit port 0xf4 and the PC test device'
complete -c nestbox -n '__fish_seen_subcommand_from run' -l timeout -x -d 'end the guest after that time'
complete -c nestbox -n '__fish_seen_subcommand_from run' -l shutdown-timeout -x -d 'SIGTERM presses the power button first'
complete -c nestbox -n '__fish_seen_subcommand_from run' -l trace -x -a 'entry exits' -d 'what to report on standard error: entry or exits'
complete -c nestbox -n '__fish_seen_subcommand_from run' -l trace-file -r -F -d 'where the trace goes (default standard error)'
complete -c nestbox -n '__fish_seen_subcommand_from run' -l symbols -r -F -d 'names for RIPs of L1: its System.map or ELF file with symbols'
complete -c nestbox -n '__fish_seen_subcommand_from run' -l stats -d 'print counters at the end'
complete -c nestbox -n '__fish_seen_subcommand_from kvm' -l nested -x -a 'off intel amd host' -d 'extensions of guests, and their vendor: off, intel, amd or host (default host)'
complete -c nestbox -n '__fish_seen_subcommand_from kvm' -l accel -x -a 'auto engine' -d 'what runs the CPUs: auto or engine (default auto)'
complete -c nestbox -n '__fish_seen_subcommand_from kvm' -l cpu -x -a 'max host x86-64 x86-64-v1 x86-64-v2 x86-64-v3 x86-64-v4 legacy32' -d 'CPU model, with features added or taken away (default max)'
complete -c nestbox -n '__fish_seen_subcommand_from kvm' -l trace -x -a 'entry exits ioctl unknown run' -d 'what to report: entry, exits, ioctl, unknown or run'
complete -c nestbox -n '__fish_seen_subcommand_from kvm' -l trace-file -r -F -d 'where the trace goes (default standard error)'
complete -c nestbox -n '__fish_seen_subcommand_from kvm' -l stats -r -F -d 'counters are written there when a VM ends'
complete -c nestbox -n '__fish_seen_subcommand_from kvm' -a '(__fish_complete_command)'
complete -c nestbox -n '__fish_seen_subcommand_from qemu' -l nested -x -a 'off intel amd host' -d 'extensions of guests, and their vendor: off, intel, amd or host (default host)'
complete -c nestbox -n '__fish_seen_subcommand_from qemu' -l accel -x -a 'auto engine' -d 'what runs the CPUs: auto or engine (default auto)'
complete -c nestbox -n '__fish_seen_subcommand_from qemu' -l cpu -x -a 'max host x86-64 x86-64-v1 x86-64-v2 x86-64-v3 x86-64-v4 legacy32' -d 'CPU model, with features added or taken away (default max)'
complete -c nestbox -n '__fish_seen_subcommand_from qemu' -l trace -x -a 'entry exits ioctl unknown run' -d 'what to report: entry, exits, ioctl, unknown or run'
complete -c nestbox -n '__fish_seen_subcommand_from qemu' -l trace-file -r -F -d 'where the trace goes (default standard error)'
complete -c nestbox -n '__fish_seen_subcommand_from qemu' -l stats -r -F -d 'counters are written there when a VM ends'
complete -c nestbox -n '__fish_seen_subcommand_from doctor' -l json -d 'print one JSON object'
complete -c nestbox -n '__fish_seen_subcommand_from help' -a run
complete -c nestbox -n '__fish_seen_subcommand_from help' -a kvm
complete -c nestbox -n '__fish_seen_subcommand_from help' -a qemu
complete -c nestbox -n '__fish_seen_subcommand_from help' -a doctor
complete -c nestbox -n '__fish_seen_subcommand_from help' -a help
complete -c nestbox -n '__fish_seen_subcommand_from help' -a version
complete -c nestbox -l help -d 'this help'
