# nestbox: see README.md. Variants: make B=release|debug|asan|tsan|cov ; CC=gcc|clang
B ?= release
O := build/$(B)
CC ?= gcc
PREFIX ?= /usr/local
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wimplicit-fallthrough -Wundef \
        -Wno-unused-parameter -Wno-missing-field-initializers
CPPFLAGS += -Isrc -D_GNU_SOURCE -DNESTBOX_BUILD='"$(B)"'
CFLAGS += -std=gnu17 -g -MMD -MP $(WARN) -pthread
OPT_release := -O2
OPT_debug := -O1 -DDEBUG
OPT_asan := -O1 -DDEBUG -fsanitize=address,undefined -fno-omit-frame-pointer
OPT_tsan := -O1 -DDEBUG -fsanitize=thread
OPT_cov := -O0 --coverage
CFLAGS += $(OPT_$(B))
LDFLAGS += $(filter -fsanitize% --coverage,$(OPT_$(B))) -pthread
LDLIBS += -lZydis -lZycore -lrt

# The CPU core holds guest vector state in host registers: see src/cpu/vcpu.h
CORE_CFLAGS := -mgeneral-regs-only -mfsgsbase -ffreestanding -fno-stack-protector
CORE_CFLAGS += -fno-sanitize=all -fcf-protection=none
CORE_CFLAGS += $(if $(findstring clang,$(CC)),,-fno-tree-loop-distribute-patterns)

CORE_SRC := $(wildcard src/cpu/*.c src/cpu/vmx/*.c src/cpu/svm/*.c)
CORE_ASM := $(wildcard src/cpu/*.S)
HOST_SRC := $(filter-out $(CORE_SRC),$(wildcard src/*/*.c src/*/*/*.c))
MAIN := src/cli/main.c
CORE_OBJ := $(CORE_SRC:%.c=$(O)/%.o) $(CORE_ASM:%.S=$(O)/%.S.o)
HOST_OBJ := $(filter-out $(MAIN:%.c=$(O)/%.o),$(HOST_SRC:%.c=$(O)/%.o))
UNIT_SRC := $(wildcard tests/unit/*_test.c)
UNIT := $(UNIT_SRC:tests/unit/%.c=$(O)/tests/unit/%)

all: $(O)/nestbox

$(O)/nestbox: $(MAIN:%.c=$(O)/%.o) $(HOST_OBJ) $(CORE_OBJ)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(CORE_SRC:%.c=$(O)/%.o): CFLAGS += $(CORE_CFLAGS)
$(O)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<
$(O)/%.S.o: %.S
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

# Unit tests link everything but main; each prints "ok"/"not ok" lines and exits 1 on failure.
$(O)/tests/unit/%: tests/unit/%.c $(HOST_OBJ) $(CORE_OBJ)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -Itests $(LDFLAGS) -o $@ $(filter %.c %.o,$^) $(LDLIBS)

unit: $(UNIT)

clean:
	rm -rf build

.PHONY: all unit clean
-include $(CORE_OBJ:.o=.d) $(HOST_OBJ:.o=.d)
