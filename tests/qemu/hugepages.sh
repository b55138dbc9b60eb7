#!/bin/bash
# An installed Debian whose memory is huge pages of the host: pages that the host reserves for it, by memfd or by a file
# of hugetlbfs, or those that the host makes by itself of memory that QEMU takes at its start. The kernel's list of
# mappings shows that they are huge.
# usage: hugepages.sh WAY-VENDOR
# more cases: memfd-intel file-amd transparent-intel
set -u
VENDOR=${1#*-} way=${1%-*}
. "$(dirname "$0")/lib.sh"

size=768 least=768
pool=/proc/sys/vm/nr_hugepages
if [ "$way" != transparent ]; then
    before=$(<$pool)
    trap 'finish; umount "$work.huge" 2>/dev/null; rm -rf "$work.huge"; echo "$before" >$pool' EXIT
    echo $((before + size / 2)) 2>/dev/null >$pool && [ "$(<$pool)" = $((before + size / 2)) ] ||
        skip "the host reserves no $size MiB of huge pages"
else
    grep -qF '[never]' /sys/kernel/mm/transparent_hugepage/enabled && skip 'the host makes no huge pages by itself'
fi
case $way in
memfd) backend=memory-backend-memfd,hugetlb=on,hugetlbsize=2M where=memfd ;;
file)
    mkdir "$work.huge" && mount -t hugetlbfs -o pagesize=2M h "$work.huge" 2>/dev/null || skip 'no hugetlbfs'
    backend=memory-backend-file,share=on,prealloc=on,mem-path=$work.huge where=$work.huge
    ;;
transparent) backend=memory-backend-ram,prealloc=on where= least=384 ;;
esac
overlay d0
# shellcheck disable=SC2046
qemu vm $(accelerator) -machine q35,memory-backend=m -object $backend,id=m,size=${size}M -smp 2 -m ${size}M -no-reboot \
    $(disk virtio-blk "$work/d0.qcow2")
logged_in vm 300
say 'logged in'
huge=$(awk -v where="$where" '/^[0-9a-f]+-/ { here = index($0, where) } /^Size:/ { size = $2 }
    where && here && /^KernelPageSize:/ && $2 == 2048 { sum += size } !where && /^AnonHugePages:/ { sum += $2 }
    END { print int(sum / 1024) }' "/proc/${process[vm]}/smaps")
say "$huge MiB in huge pages"
[ "$huge" -ge "$least" ] || fail 'the memory is of small pages'
verified_writes vm /var/tmp/v 24M || fail 'fio found a wrong block'
guest vm 'pages 100 10' 200 || fail 'pages'
complaints vm && fail 'the kernel complains'
types vm poweroff
ends vm 0
