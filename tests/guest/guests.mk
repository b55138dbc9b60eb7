# Bare-metal guests: one ELF per C file of tests/guest, for multiboot 1 and PVH; pvh for PVH only (32-bit ELF, 64-bit
# code). Those whose names begin with vmx or svm are L1 hypervisors and get what runtime/l1 has for them. The Makefile
# includes this file.
GUEST_CFLAGS := -std=gnu17 -O2 -g0 -m64 -ffreestanding -nostdlib -fno-pic -no-pie -mno-red-zone -mgeneral-regs-only \
                -fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables -mcmodel=small \
                -fno-tree-loop-distribute-patterns
GUEST_RUNTIME := $(wildcard tests/guest/runtime/*.c) tests/guest/runtime/start.S
L1_RUNTIME := tests/guest/runtime/l1
l1_runtime = $(addprefix $(L1_RUNTIME)/,$(if $(filter svm% vmx%,$1),$(firstword $(subst _, ,$1)).c events.c))
GUESTS := $(patsubst tests/guest/%.c,$(O)/guest/%.elf,$(wildcard tests/guest/*.c))

$(O)/guest/pvh.elf: GUEST_CFLAGS += -DPVH_ONLY
$(O)/guest/%.elf: tests/guest/%.c $(GUEST_RUNTIME) $(wildcard tests/guest/runtime/*.h $(L1_RUNTIME)/*) \
        tests/guest/runtime/guest.ld $(wildcard tests/guest/*.S)
	@mkdir -p $(@D)
	$(call say,GUEST,$<)
	$(Q)$(CC) $(WARN) -Isrc -Itests/guest/runtime -I$(L1_RUNTIME) $(GUEST_CFLAGS) -static -Wl,-T,tests/guest/runtime/guest.ld,--build-id=none \
	    -Wl,-z,noexecstack,-z,max-page-size=4096,--no-warn-rwx-segments -o $@.64 $< $(wildcard $(<:.c=.S)) $(GUEST_RUNTIME) \
	    $(call l1_runtime,$*)
	$(Q)objcopy -O elf32-i386 $@.64 $@
	$(Q)rm -f $@.64

guests: $(GUESTS)
.PHONY: guests
