#!/bin/bash
# The VM process holds at most 256 MiB beyond what its guest touched, through a boot of L1 and L2.
set -u
. "$(dirname "$0")/guest.sh"
limit=$((256 << 10)) memory=$((1 << 20)) # KiB
"$NB" run --accel engine --kernel $kernel --initrd $initrd --memory 1G --nested intel --no-reboot --timeout 300 \
    --append "console=ttyS0 panic=-1 quiet nb.mode=demo nb.cpu=intel nb.nonce=1" </dev/null >"$log" 2>&1 &
pid=$!
trap 'kill $pid 2>/dev/null; rm -rf "$work"' EXIT
# Prints the VM's own memory and the guest's, which is the mapping of that size; nothing if it was merged with another.
resident() {
    awk -v want=$memory '
        /^Size:/ { size = $2 }
        /^Rss:/ { total += $2; if (size >= want && size <= want + 1024) { guest = $2; found++ } }
        END { if (found == 1) print total - guest, guest }' "/proc/$pid/smaps" 2>/dev/null
}
most=0 samples=0
while kill -0 $pid 2>/dev/null; do
    read -r own guest < <(resident) && {
        samples=$((samples + 1))
        [ "$own" -gt $most ] && most=$own
    }
    sleep 0.3
done
wait $pid || fail "exit status $?"
expect 'NB L2 done'
[ $samples -gt 3 ] || { echo "guest memory is not a mapping of its own here"; exit 77; }
echo "at most $((most >> 10)) MiB beyond the guest's, which had touched $((guest >> 10)) MiB at the end"
[ $most -gt 0 ] && [ $most -le $limit ] || fail "$((most >> 10)) MiB, more than $((limit >> 10))"
