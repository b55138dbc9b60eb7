#!/bin/bash
# VMs that start and stop with the host, by hand: each as its settings say, after its delay, and what ran runs again;
# also where the host went down with them. The units are what systemd takes.
set -u
. "$(dirname "$0")/lib.sh"

counter_disk "$work/counter.raw"
make_vm() { # VM OPTION...
    nb create "$@" --generation 1 --memory 64M --accel engine --base "$work/counter.raw"
}
make_vm always --auto-start start
make_vm late --auto-start start --start-delay 2 --auto-stop turn-off
make_vm ran --auto-stop turn-off
make_vm idle
make_vm never --auto-start nothing
make_vm deaf --auto-start nothing --auto-stop shut-down

"$NB" autostart >"$work/log" &
within 10 is always Running || fail 'the first does not start'
must_be late Off
within 10 is late Running || fail 'the one with a delay does not start'
wait
[ "$(<"$work/log")" = $'always: started\nlate: started' ] || fail "it says $(<"$work/log")"
nb start ran never deaf
within 20 counts always 5 || fail 'it does not count'
at=$(count always)
"$NB" autostop --timeout 2 >"$work/log" 2>&1 || fail "autostop: $(<"$work/log")"
grep -q '^always: saved$' "$work/log" && grep -q '^late: turned off$' "$work/log" &&
    grep -q '^deaf: turned off$' "$work/log" || fail "it says $(<"$work/log")"
must_be always Saved
must_be late Off
must_be deaf Off # its guest does not shut down
must_be never Saved
"$NB" autostart >"$work/log" || fail "autostart: $(<"$work/log")"
within 10 counts always "$at" || fail 'it does not go on'
must_be ran Running
must_be late Running
must_be idle Off
must_be never Saved
must_be deaf Off
say 'stopped and started'

# One that its user turned off is not started; one that went down with the host is.
nb stop late --turn-off
nb set late --auto-start if-running
kill -9 "$(worker always)" "$(qemu_process always)" "$(worker ran)"
kill -TERM "$(qemu_process ran)"
within 10 is ran Off || fail 'it is not off'
rm -rf "$run"
nb set always --auto-start if-running
"$NB" autostart >"$work/log" || fail "autostart: $(<"$work/log")"
must_be always Running
must_be ran Running
must_be late Off
say 'the host went down'

if command -v systemd-analyze >/dev/null; then
    make -s install DESTDIR="$work/root" PREFIX=/usr >/dev/null || fail 'make install'
    for kind in system user; do
        sed -i "s,/usr/bin/nestbox,$NB," "$work/root/usr/lib/systemd/$kind/nestbox-vms.service"
        XDG_RUNTIME_DIR=$work systemd-analyze verify --man=no --$kind \
            "$work/root/usr/lib/systemd/$kind/nestbox-vms.service" || fail "the unit of $kind"
    done
    say 'units'
fi
