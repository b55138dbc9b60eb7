#!/bin/bash
# `make lint` finds what it is there to find: a copy of the tree gets one violation of each kind, and lint names each.
set -u
copy=$(mktemp -d) || exit 1
trap 'rm -rf "$copy"' EXIT
cp -r src tests tools docs man completions .clang-format .ci Makefile ./*.md "$copy" || exit 1
cd "$copy" || exit 1

failed=0
expected=()
violate() { # file, text to append, complaint
    printf '%s\n' "$2" >>"$1"
    expected+=("$3")
}
violate src/cpu/mmu/walk.c '#include "cpu/jit/block.h"' 'src/cpu/mmu/walk.c:.*room mmu must not include room jit'
violate src/cpu/vmx/exit.c '#include "cpu/svm/svm.h"' 'src/cpu/vmx/exit.c:.*room vmx must not include room svm'
violate src/cpu/jit/block.c '#include "cpu/cpu.h"' 'src/cpu/jit/block.c:.*room jit must not include room face'
violate src/dev/hpet.c '#include "accel/accel.h"' 'src/dev/hpet.c:.*dev must not include accel'
violate src/ram/dma.c '#include "cpu/cpu.h"' 'src/ram/dma.c:.*ram must not include cpu'
violate src/bus/bus.c '#include "bus.h"' 'src/bus/bus.c:.*not by path from src/'
violate src/cpu/event/idt.c '#include <stdio.h>' 'src/cpu/event/idt.c:.*the core includes'
missing=no_such # in two parts, so that the name does not occur here
violate src/base/pages.c "/* see ${missing}_function() and gone.c */" \
    "src/base/pages.c:.*there is no ${missing}_function()"
expected+=('src/base/pages.c:.*there is no gone.c')
violate docs/memory.md 'Look at `src/cpu/mmu/nowhere.c`.' 'docs/memory.md:.*there is no src/cpu/mmu/nowhere.c'
violate SPEC.md '| x | `unit/cpu/none` |' 'SPEC.md: there is no test unit/cpu/none'
violate src/base/error.c "/*$(printf ' %.0sxx' $(seq 60)) */" 'src/base/error.c:.*more than 120 columns'
violate src/cli/help.c "$(yes '' | head -n 900 && echo '/* */')" 'src/cli/help.c: .* lines, more than 800'
: >src/base/misc.c
expected+=('src/base/misc.c: a name that says nothing')
if command -v clang-format >/dev/null; then
    violate src/cli/version.c 'int  badly_formatted ;' 'src/cli/version.c:.*not as clang-format wants it'
fi

tools/lint.sh >lint.log 2>&1 && echo "lint passes on a tree with violations" && failed=1
for complaint in "${expected[@]}"; do
    grep -q "$complaint" lint.log && continue
    echo "lint does not say: $complaint"
    failed=1
done
[ $failed = 0 ] || cat lint.log
exit $failed
