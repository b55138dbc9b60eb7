# nestbox: see README.md. Variants: make B=release|debug|asan|tsan|cov ; CC=gcc|clang
B ?= release
O := build/$(B)
ifeq ($(origin CC),default)
CC := gcc
endif
PREFIX ?= /usr/local
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wimplicit-fallthrough -Wundef \
        -Wno-unused-parameter -Wno-missing-field-initializers -Wno-gnu-variable-sized-type-not-at-end
CPPFLAGS += -Isrc -D_GNU_SOURCE -DNESTBOX_BUILD='"$(B)"'
CFLAGS += -std=gnu17 -g -MMD -MP $(WARN) -pthread
# One set of objects for programs and for the shared library. Nothing in it may be preempted, and thread-local variables
# lie at fixed offsets, so this costs no call and no load: docs/kvm-api.md.
CFLAGS += -fPIC -fvisibility=hidden -ftls-model=initial-exec
OPT_release := -O2
OPT_debug := -O1 -DDEBUG
# Its checks for null make gcc see formats that are null.
OPT_asan := -O1 -DDEBUG -fsanitize=address,undefined -fno-omit-frame-pointer \
    $(if $(findstring clang,$(CC)),,-Wno-format-truncation)
OPT_tsan := -O1 -DDEBUG -fsanitize=thread $(if $(findstring clang,$(CC)),,-Wno-tsan)
OPT_cov := -O0 --coverage
CFLAGS += $(OPT_$(B))
LDFLAGS += $(filter -fsanitize% --coverage,$(OPT_$(B))) -pthread
LDLIBS += -lZydis -lZycore -lz -lrt
# Of the manager and the switch: not for the library that others preload. libgcc_s is what pthread_cancel would load when
# it is called, for which there may be no memory then.
PROGRAM_LIBS := -ljansson -lslirp -ledit -llzma -lzstd -lm -Wl,--push-state,--no-as-needed -lgcc_s -Wl,--pop-state

# One short line per file; the whole command with V=1.
ifeq ($(V),)
Q := @
say = @printf '  %-7s %s\n' $(1) $(2)
endif

# The CPU core holds guest vector state in host registers: see src/cpu/core/vcpu.h
CORE_CFLAGS := -mgeneral-regs-only -mfsgsbase -mpopcnt -ffreestanding -fno-stack-protector
CORE_CFLAGS += -fno-sanitize=all -fcf-protection=none
# gcc would set and copy structs by REP, which takes 30 cycles and more before it begins.
CORE_CFLAGS += $(if $(findstring clang,$(CC)),,-fno-tree-loop-distribute-patterns \
               $(foreach f,memset memcpy,-m$f-strategy=unrolled_loop:256:noalign,rep_8byte:-1:noalign))

CORE_SRC := $(wildcard src/cpu/*.c src/cpu/*/*.c)
CORE_ASM := $(wildcard src/cpu/*/*.S)
AGENT_SRC := $(wildcard src/agent/guest/*.c)
AGENT_TOO := src/agent/frame.c src/agent/request.c src/agent/tree_send.c src/agent/tree_receive.c src/process/loop.c
HOST_SRC := $(filter-out $(CORE_SRC) $(AGENT_SRC),$(wildcard src/*/*.c src/*/*/*.c))
MAIN := src/cli/main.c
CORE_OBJ := $(CORE_SRC:%.c=$(O)/%.o) $(CORE_ASM:%.S=$(O)/%.S.o)
PRELOAD := src/kvmapi/preload.c
HOST_OBJ := $(filter-out $(MAIN:%.c=$(O)/%.o) $(PRELOAD:%.c=$(O)/%.o),$(HOST_SRC:%.c=$(O)/%.o))
UNIT_SRC := $(shell find tests/unit -name "*_test.c")
UNIT := $(UNIT_SRC:tests/unit/%.c=$(O)/tests/unit/%)

all: $(O)/nestbox $(O)/nestbox-agent $(O)/image-build $(if $(filter asan tsan,$(B)),,$(O)/libnestbox-kvm.so)

# Everything but main. Who links it takes what it uses.
LIB := $(O)/libnestbox.a
$(LIB): $(HOST_OBJ) $(CORE_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) cr $@ $^

$(O)/nestbox: $(MAIN:%.c=$(O)/%.o) $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) $(PROGRAM_LIBS)

# What runs in guests. It is static, so that any Linux can have it.
AGENT_OBJ := $(patsubst %.c,$(O)/%.o,$(AGENT_SRC) $(AGENT_TOO))
$(O)/nestbox-agent: $(AGENT_OBJ)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) $(if $(filter asan tsan,$(B)),,-static) -o $@ $^

# What builds images, for `nestbox image build`, with the agent's files for guests beside it.
$(O)/image-build: src/image/build.sh src/agent/guest/nestbox-agent.service src/agent/guest/nestbox-agent.rules
	@mkdir -p $(@D)
	$(Q)install -m 644 $(wordlist 2,3,$^) $(@D)
	$(Q)install -m 755 $< $@

# The KVM API, to be preloaded. Its only symbols that others see are those of libc that it stands before.
$(O)/libnestbox-kvm.so: $(PRELOAD:%.c=$(O)/%.o) $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) -shared $(LDFLAGS) -Wl,-z,defs -o $@ $^ $(LDLIBS) -ldl

$(O)/src/shell/bundled.o: $(wildcard src/shell/scripts/*)

$(CORE_SRC:%.c=$(O)/%.o): CFLAGS += $(CORE_CFLAGS)
# ThreadSanitizer's sigaction() holds handlers back until the thread calls a library, which a busy vCPU does not.
ifeq ($(B),tsan)
$(O)/src/accel/engine_host.o: CFLAGS += -fno-sanitize=thread -DTIMER_SIGACTION=__sigaction
endif
# What is missing for building is said once and first, and not by the compiler's errors.
$(O)/checked:
	@tools/build-check.sh "$(CC)" && mkdir -p $(@D) && touch $@
$(O)/%.o: %.c | $(O)/checked
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<
$(O)/%.S.o: %.S | $(O)/checked
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

# Each unit test prints "ok"/"not ok" lines and exits 1 on failure.
UNIT_OBJ := $(UNIT:=.o)
$(UNIT_OBJ): CPPFLAGS += -Itests
$(UNIT): %: %.o $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS) $(PROGRAM_LIBS)

unit: $(UNIT)

# The differential test of instructions: tests/insn/main.c
INSN_OBJ := $(patsubst %.c,$(O)/%.o,$(wildcard tests/insn/*.c)) $(O)/tests/insn/monitor.S.o
$(INSN_OBJ): CPPFLAGS += -I.
$(O)/insn: $(INSN_OBJ) $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# Programs written after the KVM API's documentation, which know nothing of this project.
KVMAPI := $(patsubst %.c,$(O)/%,$(wildcard tests/kvmapi/*.c))
$(KVMAPI): $(O)/%: %.c tests/kvmapi/guest.h
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) -std=gnu17 -g -O1 -D_GNU_SOURCE $(WARN) -pthread -o $@ $<
kvmapi: $(KVMAPI)

# What plays VMs, their programs and rogue guests in tests/net; static so that guests can have it.
NETTOOLS := $(patsubst tests/net/%.c,build/net/%,$(filter-out tests/net/slowdisk.c,$(wildcard tests/net/*.c)))
$(NETTOOLS): build/net/%: tests/net/%.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) -std=gnu17 -g -O1 -D_GNU_SOURCE $(WARN) -pthread -static -o $@ $<
build/net/slowdisk.so: tests/net/slowdisk.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) -std=gnu17 -g -O1 -D_GNU_SOURCE $(WARN) -fPIC -shared -o $@ $< -ldl
nettools: $(NETTOOLS) build/net/slowdisk.so

# nestbox run with vCPUs that move all the time: tests/hop/main.c
$(O)/hop: $(O)/tests/hop/main.o $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS) $(PROGRAM_LIBS)

# A switch without VMs: tests/perf/switch.c
$(O)/tests/perf/switch.o: CPPFLAGS += -Itests
$(O)/switch-bench: $(O)/tests/perf/switch.o $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# What guests and peers of a switch send, and what may stand in definitions: tests/fuzz/main.c
FUZZ_OBJ := $(patsubst %.c,$(O)/%.o,$(wildcard tests/fuzz/*.c))
$(FUZZ_OBJ): CPPFLAGS += -Itests
$(O)/fuzz: $(FUZZ_OBJ) $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) $(PROGRAM_LIBS)

# Bare-metal guests: the target `guests`.
include tests/guest/guests.mk

# The measuring program, static so that it runs on any level.
build/loops: tests/perf/loops.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) -std=gnu17 -O2 -D_GNU_SOURCE $(WARN) -static -o $@ $<

# What jumps cost the host that it has forgotten: tests/perf/jumps.c
build/jumps: tests/perf/jumps.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) -std=gnu17 -O2 -D_GNU_SOURCE $(WARN) -o $@ $<

demo:
	+tools/demo.sh

test:
	+tools/test.sh

# Debian's QEMU on the engine in all its ways: those of `make test` and those that take long.
qemu-tests:
	+MORE=1 tools/test.sh '^qemu/'

# Networks, those that take long among them.
net-tests:
	+MORE=1 tools/test.sh '^net/'

# The kernel's own tests of KVM on the engine: those of `make test` and the rest.
selftests: all
	tools/selftests.sh

bench:
	+@missed=0; for part in bench bench-switch bench-qemu bench-net bench-manager; do tools/$$part.sh || missed=1; done; exit $$missed

# Programs of Debian natively, in L1, L2 and QEMU; PROGRAMS='python xz' LEVELS='native l1' chooses: tools/bench-real.sh
bench-real:
	+tools/bench-real.sh

# Completions and the manual page's options, from the tables.
derive: $(O)/nestbox
	+NB=$(O)/nestbox tools/derive.sh

lint:
	+tools/lint.sh

fuzz: $(O)/insn
	$(O)/insn --corpus tests/insn/cases.txt --seed $$(date +%s) --seconds $(or $(SECONDS),600)
	+$(MAKE) --no-print-directory B=asan O=build/asan build/asan/fuzz
	ASAN_OPTIONS=use_sigaltstack=0 build/asan/fuzz --corpus tests/fuzz/corpus.txt --seed $$(date +%s) \
		--seconds $(or $(SECONDS),600)

install: all
	install -D -m 755 $(O)/nestbox $(DESTDIR)$(PREFIX)/bin/nestbox
	install -D -m 755 tools/nestbox-qemu $(DESTDIR)$(PREFIX)/bin/nestbox-qemu
	ln -sf nestbox-qemu $(DESTDIR)$(PREFIX)/bin/nestbox-qemu-intel
	ln -sf nestbox-qemu $(DESTDIR)$(PREFIX)/bin/nestbox-qemu-amd
	install -D -m 755 $(O)/nestbox-agent $(DESTDIR)$(PREFIX)/lib/nestbox/nestbox-agent
	install -D -m 644 src/agent/guest/nestbox-agent.service $(DESTDIR)$(PREFIX)/lib/nestbox/nestbox-agent.service
	install -D -m 644 src/agent/guest/nestbox-agent.rules $(DESTDIR)$(PREFIX)/lib/nestbox/nestbox-agent.rules
	install -D -m 644 $(O)/libnestbox-kvm.so $(DESTDIR)$(PREFIX)/lib/nestbox/libnestbox-kvm.so
	install -D -m 755 src/image/build.sh $(DESTDIR)$(PREFIX)/lib/nestbox/image-build
	install -D -m 644 man/nestbox.1 $(DESTDIR)$(PREFIX)/share/man/man1/nestbox.1
	install -D -m 644 completions/nestbox.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/nestbox
	install -D -m 644 completions/_nestbox $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_nestbox
	install -D -m 644 completions/nestbox.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/nestbox.fish

	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/user
	sed 's|@PREFIX@|$(PREFIX)|' systemd/nestbox-switch@.service.in \
		>$(DESTDIR)$(PREFIX)/lib/systemd/system/nestbox-switch@.service
	sed 's|@PREFIX@|$(PREFIX)|; s|@TARGET@|multi-user.target|' systemd/nestbox-vms.service.in \
		>$(DESTDIR)$(PREFIX)/lib/systemd/system/nestbox-vms.service
	sed 's|@PREFIX@|$(PREFIX)|; s|@TARGET@|default.target|; /^Wants=\|^After=/d' systemd/nestbox-vms.service.in \
		>$(DESTDIR)$(PREFIX)/lib/systemd/user/nestbox-vms.service

uninstall:
	cd $(DESTDIR)$(PREFIX)/bin && rm -f nestbox nestbox-qemu nestbox-qemu-intel nestbox-qemu-amd
	rm -rf $(DESTDIR)$(PREFIX)/lib/nestbox
	rm -f $(DESTDIR)$(PREFIX)/share/man/man1/nestbox.1
	rm -f $(DESTDIR)$(PREFIX)/share/bash-completion/completions/nestbox
	rm -f $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_nestbox
	rm -f $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/nestbox.fish
	cd $(DESTDIR)$(PREFIX)/lib/systemd && rm -f system/nestbox-switch@.service system/nestbox-vms.service \
		user/nestbox-vms.service

# build/deb/nestbox_VERSION_amd64.deb
deb:
	+tools/deb.sh

help:
	@echo 'make              builds $(O)/nestbox; V=1 shows the commands'
	@echo 'make demo         Debian as L1 with VT-x, then AMD-V, with L2 in it (root installs what is missing)'
	@echo 'make test         builds and runs all tests; tools/test.sh PATTERN runs some'
	@echo 'make unit         builds the unit tests'
	@echo 'make kvmapi       builds the tests of the KVM API'
	@echo 'make nettools     builds what the tests of networks use'
	@echo 'make qemu-tests   starts Debian from disks in QEMU on the engine, in all ways that tests/qemu knows'
	@echo 'make net-tests    switches and NAT with real frames between namespaces and between guests in QEMU'
	@echo "make selftests    runs the kernel's selftests of KVM on the engine"
	@echo 'make bench        measures L1 and L2 against the host and QEMU, and checks the promises of SPEC.md'
	@echo "make bench-real   measures programs of Debian at each level; PROGRAMS='python xz' LEVELS='native l1' chooses"
	@echo 'make lint         checks layers, style and scripts'
	@echo 'make derive       writes the completions and the options in the manual page from the tables'
	@echo 'make fuzz         random instructions against the host CPU, then random frames and definitions; SECONDS=600 each'
	@echo 'make install      to PREFIX=$(PREFIX), below DESTDIR if given; make uninstall removes that'
	@echo 'make deb          builds a Debian package in build/deb'
	@echo 'make clean        removes build/'
	@echo 'Variants: B=release|debug|asan|tsan|cov, CC=gcc|clang, O=folder'

clean:
	rm -rf build

.PHONY: all unit kvmapi nettools demo test qemu-tests net-tests selftests bench bench-real derive lint fuzz install uninstall deb help clean
-include $(AGENT_OBJ:.o=.d) $(MAIN:%.c=$(O)/%.d) $(PRELOAD:%.c=$(O)/%.d) $(CORE_OBJ:.o=.d) $(HOST_OBJ:.o=.d) $(INSN_OBJ:.o=.d) $(FUZZ_OBJ:.o=.d) $(O)/tests/hop/main.d $(O)/tests/perf/switch.d $(UNIT_OBJ:.o=.d)
