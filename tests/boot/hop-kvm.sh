#!/bin/bash
# The state of vCPUs under a real KVM, Debian's in L1: the unit test of the accelerator, and hypervisors as guests
# whose vCPUs move all the time (tests/hop/main.c), nested state included. How many moves a guest lives to see, and how
# many of them in L2, depends on the host's speed; one that has not moved in L2 runs again at half the pace or so.
# cases: intel amd
set -u
. "$(dirname "$0")/guest.sh"
vendor=${1:-intel}
case $vendor in intel) guests='vmx_intercepts vmx_paging' ;; *) guests=svm_paging ;; esac
mkdir -p "$work/deep/extra"
cp build/release/hop build/release/tests/unit/accel/kvm_test "$work/deep/extra"
for guest in $guests; do cp "build/release/guest/$guest.elf" "$work/deep/extra"; done
cat >"$work/deep/extra/run" <<EOF
#!/bin/sh
/extra/kvm_test | sed 's/^/NB L1 /'
export HOP_LOG=/moves HOP_NEW=2
for guest in $guests; do
    for HOP_US in 3000 1500 700 300 150 70; do
        export HOP_US
        rm -f /moves
        /extra/hop run --accel kvm --nested $vendor --kernel /extra/\$guest.elf \\
            --memory 64M --debug-exit --timeout 200 </dev/null 2>&1 | sed "s/^/NB L2 \$guest /"
        read -r _ _ l2 </moves
        [ "\$l2" = 0 ] || break
    done
done
EOF
chmod 755 "$work/deep/extra/run"
(cd "$work/deep" && find . | cpio --quiet -o -H newc) >"$work/deep.cpio"
deep=$work/deep.cpio
boot_l1 "$vendor" 1 "nb.mode=extra nb.cpu=$vendor" || fail "exit status $?"
expect 'NB L1 extra exit 0'
expect 'NB L1 [0-9]* passed, 0 failed'
for guest in $guests; do
    expect "NB L2 $guest .*[0-9]* passed, 0 failed"
    expect "NB L2 $guest hop: .* [1-9][0-9]* in L2"
done
! grep "NB L2 .* passed, [1-9][0-9]* failed" "$log" || fail 'a guest noticed'
grep -E 'NB L2 .*(hop: | passed, )' "$log"
expect 'NB L1 done'
quiet_dmesg
