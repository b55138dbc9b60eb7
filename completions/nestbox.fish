# fish completion for nestbox

complete -c nestbox -f
complete -c nestbox -n __fish_use_subcommand -a run -d 'Run a VM in the foreground'
complete -c nestbox -n __fish_use_subcommand -a doctor -d 'Tell what this host offers'
complete -c nestbox -n __fish_use_subcommand -a help -d 'Tell what there is'
complete -c nestbox -n __fish_use_subcommand -a version -d 'Tell the version'
set -l run '__fish_seen_subcommand_from run'
complete -c nestbox -n $run -l kernel -r -F -d 'What to start'
complete -c nestbox -n $run -l initrd -r -F -d 'Initrd or module'
complete -c nestbox -n $run -l append -x -d 'Kernel command line'
complete -c nestbox -n $run -l memory -x -a '512M 1G 2G 4G' -d 'Guest memory'
complete -c nestbox -n $run -l cpus -x -d 'Number of CPUs'
complete -c nestbox -n $run -l nested -x -a 'intel amd off' -d 'Virtualization for the guest'
complete -c nestbox -n $run -l accel -x -a 'auto engine kvm' -d 'What runs the CPUs'
complete -c nestbox -n $run -l cpu -x -d 'CPU model and features'
complete -c nestbox -n $run -l serial -r -F -d 'First serial port'
complete -c nestbox -n $run -l no-reboot -d 'End at a reset or triple fault'
complete -c nestbox -n $run -l debug-exit -d 'Debug-exit port and test device'
complete -c nestbox -n $run -l timeout -x -d 'End after a time'
complete -c nestbox -n $run -l trace -x -a entry -d 'What to trace'
complete -c nestbox -n $run -l stats -d 'Print counters at the end'
complete -c nestbox -n '__fish_seen_subcommand_from doctor' -l json -d 'As JSON'
complete -c nestbox -l help -d Help
