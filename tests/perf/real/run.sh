#!/bin/bash
# Runs programs of programs.sh at one level of `make bench-real`, and prints for each run a line
#   NB real LEVEL PROGRAM first|again MICROSECONDS CHECKSUM
# The checksum is of what the program printed and of the files that it made. The same script runs in a chroot on the
# host, in L1 and in L2.
# usage: run.sh LEVEL RUNS [PROGRAM...]     RUNS: how often each program runs after its first start
set -u
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin TZ=UTC
. "$(dirname "$0")/programs.sh"
level=$1 runs=$2
shift 2
[ $# -gt 0 ] || set -- $programs
for _ in 1 2 3 4 5 6 7 8; do cat $data/bytes; done >/tmp/large

checksum() { # of standard input and of the files here that are named out*
    { cat && find . -name 'out*' -type f | sort | xargs -r cat; } | sha256sum | cut -c1-16
}
one() { # PROGRAM, KIND
    local program=$1 begin end show=cat
    rm -rf /tmp/work && mkdir /tmp/work && cd /tmp/work || exit 1
    ! declare -F "set_up_$program" >/dev/null || "set_up_$program" >/tmp/set-up.log 2>&1 || {
        echo "NB real $level $program failed: $(tail -n 1 /tmp/set-up.log)"
        return
    }
    ! declare -F "show_$program" >/dev/null || show=show_$program
    begin=${EPOCHREALTIME/./}
    "run_$program" >/tmp/stdout 2>/tmp/stderr </dev/null
    end=${EPOCHREALTIME/./}
    # shellcheck disable=SC2094
    echo "NB real $level $program $2 $((end - begin)) $($show </tmp/stdout | checksum)"
    [ ! -s /tmp/stderr ] || sed "s/^/NB real-error $level $program /" /tmp/stderr | head -n 3
}
for program; do
    declare -F "run_$program" >/dev/null || { echo "NB real-error $level $program: no such program" && continue; }
    one "$program" first
    for ((turn = 0; turn < runs; turn++)); do one "$program" again; done
done
cd /
pkill -x nginx
[ ! -e /tmp/pg/postmaster.pid ] ||
    (cd /tmp/pg && as_postgres /usr/lib/postgresql/15/bin/pg_ctl -s -D /tmp/pg -m immediate stop)
rm -rf /tmp/work
echo "NB real $level done"
