/* VMX instructions, VM entry and VM exit on one vCPU, without translated code: handlers and hooks are called
 * directly. */
#include "unit/test.h"
#include "unit/vmx_machine.h"
#include "x86/paging.h"

#define GUEST_RIP 0x1000ull

static const struct insn plain = {.len = 3, .osz = 8, .asz = 8, .base = REG_NONE, .index = REG_NONE, .scale = 1};

static struct vmcs *region(u64 at)
{
    return (struct vmcs *)(vm.ram[0].host + at + VMCS_DATA_OFFSET);
}

static void revision(u64 at, u32 value)
{
    memcpy(vm.ram[0].host + at, &value, 4);
}

static u64 flags(void)
{
    return rflags_get(v) & FLAGS_ARITH;
}

/* A 64-bit page table at 0x1000 that maps the first 2 MiB to themselves, for memory operands. */
static void map_host(void)
{
    u64 *ram = (u64 *)vm.ram[0].host;
    ram[0x1000 / 8] = 0x2000 | 3;
    ram[0x2000 / 8] = 0x3000 | 3;
    ram[0x3000 / 8] = 0x83;
}

static enum outcome with_pointer(enum outcome (*op)(struct vcpu *, const struct insn *), u64 pointer)
{
    struct insn in = plain;
    in.mem = true;
    in.seg = SEG_DS;
    in.disp = POINTER_AT;
    memcpy(vm.ram[0].host + POINTER_AT, &pointer, 8);
    machine_host();
    return op(v, &in);
}

static enum outcome access_field(u64 encoding, u64 *value, bool write)
{
    struct insn in = plain;
    in.mod = 3;
    in.reg = RAX;
    in.rm = RDX;
    v->gpr[RAX] = encoding;
    v->gpr[RDX] = *value;
    enum outcome out = write ? op_vmwrite(v, &in) : op_vmread(v, &in);
    *value = v->gpr[RDX];
    return out;
}

static void test_instructions(void)
{
    TEST("VMXON: mode, revision, twice");
    machine_host();
    map_host();
    mode_update(v);
    v->cr4 &= ~CR4_VMXE;
    CHECK_EQ(op_vmxoff(v, &plain), CPU_FAULT);
    CHECK_EQ(v->fault.vector, EXC_UD);
    CHECK_EQ(with_pointer(op_vmxon, VMXON_AT), CPU_OK);
    CHECK_EQ(flags(), FLAG_CF);
    revision(VMXON_AT, VMCS_REVISION);
    CHECK_EQ(with_pointer(op_vmxon, VMXON_AT), CPU_OK);
    CHECK_EQ(flags(), 0);
    CHECK_EQ(with_pointer(op_vmxon, VMXON_AT), CPU_OK);
    CHECK_EQ(flags(), FLAG_CF); /* no current VMCS: VMfailInvalid */
    TEST("VMPTRLD, VMCLEAR: errors");
    CHECK_EQ(with_pointer(op_vmclear, VMCS_AT), CPU_OK);
    CHECK_EQ(flags(), 0);
    CHECK_EQ(with_pointer(op_vmptrld, VMCS_AT), CPU_OK);
    CHECK_EQ(flags(), FLAG_CF); /* wrong revision */
    revision(VMCS_AT, VMCS_REVISION);
    CHECK_EQ(with_pointer(op_vmptrld, VMCS_AT), CPU_OK);
    CHECK_EQ(flags(), 0);
    CHECK_EQ(x->current, VMCS_AT);
    CHECK_EQ(with_pointer(op_vmptrld, VMXON_AT), CPU_OK);
    CHECK_EQ(flags(), FLAG_ZF);
    CHECK_EQ(x->f.insn_error, VMERR_VMPTRLD_VMXON_POINTER);
    with_pointer(op_vmptrld, VMCS_AT + 8);
    CHECK_EQ(x->f.insn_error, VMERR_VMPTRLD_ADDRESS);
    with_pointer(op_vmclear, 1ull << 40);
    CHECK_EQ(x->f.insn_error, VMERR_VMCLEAR_ADDRESS);
    with_pointer(op_vmxon, VMXON_AT);
    CHECK_EQ(x->f.insn_error, VMERR_VMXON_IN_ROOT);
    TEST("VMREAD, VMWRITE");
    u64 value = 0x1122334455667788;
    CHECK_EQ(access_field(0x681e, &value, true), CPU_OK);
    CHECK_EQ(x->f.guest_rip, 0x1122334455667788);
    value = 0;
    CHECK_EQ(access_field(0x681e, &value, false), CPU_OK);
    CHECK_EQ(value, 0x1122334455667788);
    access_field(0x7ffe, &value, false);
    CHECK_EQ(flags(), FLAG_ZF);
    value = 0;
    access_field(0x4400, &value, false);
    CHECK_EQ(value, VMERR_UNSUPPORTED_FIELD);
    TEST("a VMCS survives in its region");
    value = 0x77;
    access_field(0x2010, &value, true);
    revision(VMCS_AT + 0x1000, VMCS_REVISION);
    with_pointer(op_vmptrld, VMCS_AT + 0x1000);
    CHECK_EQ(region(VMCS_AT)->tsc_offset, 0x77);
    CHECK_EQ(x->f.tsc_offset, 0);
    with_pointer(op_vmptrld, VMCS_AT);
    CHECK_EQ(x->f.tsc_offset, 0x77);
    with_pointer(op_vmclear, VMCS_AT);
    CHECK_EQ(x->current, VMX_NO_POINTER);
    TEST("INVEPT, INVVPID: operands");
    with_pointer(op_vmptrld, VMCS_AT);
    v->gpr[RAX] = 3;
    with_pointer(op_invept, 0);
    CHECK_EQ(flags(), FLAG_ZF);
    CHECK_EQ(x->f.insn_error, VMERR_INVALID_OPERAND);
    v->gpr[RAX] = 2;
    with_pointer(op_invept, 0);
    CHECK_EQ(flags(), 0);
    v->gpr[RAX] = 1;
    with_pointer(op_invvpid, 0);
    CHECK_EQ(flags(), FLAG_ZF);
    v->gpr[RAX] = 1;
    with_pointer(op_invvpid, 5);
    CHECK_EQ(flags(), 0);
    TEST("VMCALL in root, VMXOFF");
    CHECK_EQ(op_vmcall(v, &plain), CPU_OK);
    CHECK_EQ(x->f.insn_error, VMERR_VMCALL_IN_ROOT);
    CHECK_EQ(op_vmxoff(v, &plain), CPU_OK);
    CHECK(!x->on);
    CHECK(op_vmcall(v, &plain) == CPU_FAULT && v->fault.vector == EXC_UD);
}

static void launch(void)
{
    machine_vmcs();
    map_host();
    x->f.host_cr3 = 0x1000;
}

static void run(void)
{
    CHECK_EQ(op_vmlaunch(v, &plain), CPU_OK);
    CHECK(v->in_guest);
    v->rip = GUEST_RIP;
    v->next_rip = GUEST_RIP + 2;
    v->insn = &plain;
}

static void check_host(u32 reason)
{
    CHECK(!v->in_guest);
    CHECK_EQ(x->f.exit_reason, reason);
    CHECK_EQ(v->rip, x->f.host_rip);
    CHECK_EQ(v->next_rip, x->f.host_rip);
    CHECK_EQ(v->gpr[RSP], x->f.host_rsp);
    CHECK_EQ(v->seg[SEG_CS].sel, 8);
    CHECK(in_64bit(v));
    CHECK_EQ(rflags_get(v), FLAG_ONE);
    CHECK_EQ(v->dr7, DR7_FIXED);
    CHECK(v->intr_masked);
    v->insn = NULL;
}

static void test_entry_exit(void)
{
    TEST("VMLAUNCH loads the guest, CPUID exits");
    launch();
    x->f.guest_rflags = FLAG_ONE | FLAG_ZF | FLAG_IF;
    CHECK_EQ(op_vmresume(v, &plain), CPU_OK);
    CHECK_EQ(x->f.insn_error, VMERR_VMRESUME_NOT_LAUNCHED);
    CHECK_EQ(op_vmlaunch(v, &plain), CPU_OK);
    CHECK(v->in_guest);
    CHECK_EQ(v->rip, GUEST_RIP);
    CHECK_EQ(v->next_rip, GUEST_RIP);
    CHECK_EQ(v->gpr[RSP], 0x3000);
    CHECK_EQ(v->cr3, 0x2000);
    CHECK_EQ(rflags_get(v), FLAG_ONE | FLAG_ZF | FLAG_IF);
    v->next_rip = GUEST_RIP + 2;
    v->insn = &plain;
    CHECK_EQ(vmx_intercept(v, IC_CPUID, 0, 0), CPU_NESTED_EXIT);
    check_host(EXIT_CPUID);
    CHECK_EQ(x->f.exit_insn_len, 2);
    CHECK_EQ(x->f.guest_rip, GUEST_RIP);
    CHECK_EQ(x->f.guest_rflags, FLAG_ONE | FLAG_ZF | FLAG_IF);
    CHECK_EQ(x->f.idt_info, 0);
    CHECK_EQ(op_vmlaunch(v, &plain), CPU_OK);
    CHECK_EQ(x->f.insn_error, VMERR_VMLAUNCH_NOT_CLEAR);
    CHECK_EQ(op_vmresume(v, &plain), CPU_OK);
    CHECK(v->in_guest);
    CHECK_EQ(vmx_intercept(v, IC_INVD, 0, 0), CPU_NESTED_EXIT);
    TEST("failed entries");
    launch();
    x->f.vpid = 0;
    CHECK_EQ(op_vmlaunch(v, &plain), CPU_OK);
    CHECK_EQ(x->f.insn_error, VMERR_ENTRY_CONTROLS);
    launch();
    x->f.host_cr0 = 0;
    CHECK_EQ(op_vmlaunch(v, &plain), CPU_OK);
    CHECK_EQ(x->f.insn_error, VMERR_ENTRY_HOST_STATE);
    launch();
    x->f.guest_rflags = 0;
    CHECK_EQ(op_vmlaunch(v, &plain), CPU_NESTED_EXIT);
    check_host(EXIT_ENTRY_GUEST_STATE | EXIT_REASON_ENTRY_FAILURE);
    CHECK(!x->launched);
    launch();
    x->f.entry_load_count = 2;
    x->f.entry_msr_load = LISTS_AT;
    u64 list[4] = {0x277, 0x0007040600070406, 0xc0000100, 0};
    memcpy(vm.ram[0].host + LISTS_AT, list, sizeof list);
    CHECK_EQ(op_vmlaunch(v, &plain), CPU_NESTED_EXIT);
    check_host(EXIT_ENTRY_MSR_LOAD | EXIT_REASON_ENTRY_FAILURE);
    CHECK_EQ(x->f.qualification, 2);
    launch();
    v->shadow = SHADOW_MOVSS;
    CHECK_EQ(op_vmlaunch(v, &plain), CPU_OK);
    CHECK_EQ(x->f.insn_error, VMERR_ENTRY_MOVSS);
    v->shadow = 0;
}

static void test_intercepts(void)
{
    TEST("I/O bitmaps");
    launch();
    vm.ram[0].host[BITMAPS_AT + 0x80 / 8] = 1;
    vm.ram[0].host[BITMAPS_AT + 0x1000 + 0x7fff / 8] = 0x80;
    run();
    CHECK_EQ(vmx_intercept(v, IC_IO, IO_INFO_PORT(0x81) | IO_INFO_SIZE(1), 0), CPU_OK);
    CHECK_EQ(vmx_intercept(v, IC_IO, IO_INFO_PORT(0x7f) | IO_INFO_SIZE(2) | IO_INFO_IN, 0), CPU_NESTED_EXIT);
    check_host(EXIT_IO);
    CHECK_EQ(x->f.qualification, 0x7f0009);
    x->launched = false;
    run();
    CHECK_EQ(vmx_intercept(v, IC_IO, IO_INFO_PORT(0xffff) | IO_INFO_SIZE(1), 0), CPU_NESTED_EXIT);
    TEST("MSR bitmaps");
    launch();
    vm.ram[0].host[BITMAPS_AT + 0x2000 + 2048 + 1024 + 0x80 / 8] = 1;
    run();
    CHECK_EQ(vmx_intercept(v, IC_MSR, 0xc0000080, 0), CPU_OK);
    CHECK_EQ(vmx_intercept(v, IC_MSR, 0xc0000080, 1), CPU_NESTED_EXIT);
    check_host(EXIT_WRMSR);
    launch();
    run();
    CHECK_EQ(vmx_intercept(v, IC_MSR, 0x4000, 0), CPU_NESTED_EXIT);
    check_host(EXIT_RDMSR);
    TEST("CR0 mask and shadow");
    launch();
    x->f.cr0_mask = CR0_TS | CR0_CD;
    x->f.cr0_shadow = CR0_CD;
    run();
    CHECK_EQ(vmx_cr_read(v, 0, v->cr0), v->cr0 | CR0_CD);
    CHECK_EQ(vmx_intercept(v, IC_CLTS, 0, 0), CPU_OK);
    CHECK_EQ(vmx_intercept(v, IC_CR_WRITE, 0, v->cr0 | CR0_CD), CPU_OK);
    CHECK_EQ(vmx_cr_write(v, 0, v->cr0 | CR0_CD | CR0_MP), v->cr0 | CR0_MP);
    CHECK_EQ(vmx_intercept(v, IC_CR_WRITE, 0 | R9 << 8, v->cr0 | CR0_CD | CR0_TS), CPU_NESTED_EXIT);
    check_host(EXIT_CR_ACCESS);
    CHECK_EQ(x->f.qualification, 0x900);
    launch();
    x->f.cr0_mask = CR0_PE | CR0_TS;
    x->f.cr0_shadow = CR0_PE;
    run();
    CHECK_EQ(vmx_intercept(v, IC_LMSW, 0, ~0ull), CPU_OK);
    CHECK_EQ(vmx_intercept(v, IC_LMSW, CR0_TS, 0x1234), CPU_NESTED_EXIT);
    CHECK_EQ(x->f.qualification, 8ull << 16 | 0x70);
    CHECK_EQ(x->f.guest_linear, 0x1234);
    TEST("TPR shadow");
    launch();
    memset(vm.ram[0].host + VAPIC_AT, 0, 4096);
    vm.ram[0].host[VAPIC_AT + 0x80] = 0x50;
    x->f.tpr_threshold = 4;
    run();
    CHECK_EQ(vmx_cr_read(v, 8, 0), 5);
    vmx_cr_write(v, 8, 4);
    CHECK_EQ(vmx_windows(v), CPU_OK);
    vmx_cr_write(v, 8, 3);
    CHECK_EQ(vmx_windows(v), CPU_NESTED_EXIT);
    check_host(EXIT_TPR_BELOW_THRESHOLD);
    TEST("instruction information");
    launch();
    x->f.proc2 |= PROC2_DESC_TABLE_EXITING;
    run();
    struct insn in = plain;
    in.mem = true;
    in.seg = SEG_DS;
    in.base = RBX;
    in.index = RSI;
    in.scale = 4;
    in.disp = -8;
    v->insn = &in;
    CHECK_EQ(vmx_intercept(v, IC_LGDT, 0, 0), CPU_NESTED_EXIT);
    check_host(EXIT_GDTR_IDTR);
    CHECK_EQ(x->f.qualification, (u64)-8);
    CHECK_EQ(x->f.exit_insn_info, 2u | 2 << 7 | 1 << 11 | SEG_DS << 15 | RSI << 18 | RBX << 23 | 2u << 28);
}

static void test_events(void)
{
    TEST("exception bitmap, page-fault mask");
    launch();
    x->f.exception_bitmap = BIT(EXC_PF) | BIT(EXC_UD);
    x->f.pf_mask = PFERR_P;
    x->f.pf_match = PFERR_P;
    run();
    struct event pf = {.valid = true, .vector = EXC_PF, .type = EVENT_EXCEPTION, .has_error = true, .payload = 0xabc};
    CHECK_EQ(vmx_exception(v, &pf), CPU_OK);
    pf.error = PFERR_P | PFERR_W;
    CHECK_EQ(vmx_exception(v, &pf), CPU_NESTED_EXIT);
    check_host(EXIT_EXCEPTION_NMI);
    CHECK_EQ(x->f.qualification, 0xabc);
    CHECK_EQ(x->f.exit_intr_info, INTR_VALID | INTR_ERROR_VALID | EVENT_EXCEPTION << 8 | EXC_PF);
    CHECK_EQ(x->f.exit_intr_error, 3);
    CHECK(x->f.guest_rflags & FLAG_RF);
    TEST("IDT-vectoring information");
    launch();
    x->f.exception_bitmap = BIT(EXC_PF);
    run();
    v->delivering = (struct event){.valid = true, .vector = 0x80, .type = EVENT_SOFT_INT, .insn_len = 2};
    CHECK_EQ(vmx_exception(v, &pf), CPU_NESTED_EXIT);
    CHECK_EQ(x->f.idt_info, INTR_VALID | EVENT_SOFT_INT << 8 | 0x80);
    CHECK_EQ(x->f.exit_insn_len, 2);
    CHECK(!v->delivering.valid);
    TEST("injection");
    launch();
    x->f.entry_intr_info = INTR_VALID | INTR_ERROR_VALID | EVENT_EXCEPTION << 8 | EXC_PF;
    x->f.entry_error = 2;
    v->cr2 = 0x5555;
    run();
    CHECK(v->inject.valid);
    CHECK_EQ(v->inject.vector, EXC_PF);
    CHECK_EQ(v->inject.error, 2);
    CHECK_EQ(v->inject.payload, 0x5555);
    CHECK(v->request & REQ_EVENT);
    v->inject.valid = false;
    vmx_intercept(v, IC_CPUID, 0, 0);
    CHECK(!(x->f.entry_intr_info & INTR_VALID));
    TEST("windows");
    launch();
    x->f.proc |= PROC_INTERRUPT_WINDOW;
    run();
    CHECK_EQ(vmx_windows(v), CPU_OK);
    CHECK(v->intr_masked);
    v->flags |= FLAG_IF;
    CHECK_EQ(vmx_windows(v), CPU_NESTED_EXIT);
    check_host(EXIT_INTERRUPT_WINDOW);
    launch();
    x->f.proc |= PROC_NMI_WINDOW;
    x->f.guest_interruptibility = INTERRUPTIBILITY_NMI;
    run();
    CHECK(v->nmi_blocked);
    CHECK(vmx_nmi_allowed(v));
    CHECK_EQ(vmx_windows(v), CPU_OK);
    v->nmi_blocked = false;
    CHECK_EQ(vmx_windows(v), CPU_NESTED_EXIT);
    check_host(EXIT_NMI_WINDOW);
    TEST("NMI exit blocks NMIs in L1");
    launch();
    run();
    CHECK_EQ(vmx_event(v, NEV_NMI), CPU_NESTED_EXIT);
    check_host(EXIT_EXCEPTION_NMI);
    CHECK(v->nmi_blocked);
    v->nmi_blocked = false;
    TEST("preemption timer");
    launch();
    x->f.pin |= PIN_PREEMPTION_TIMER;
    x->f.exit_controls |= EXITC_SAVE_PREEMPTION_TIMER;
    x->f.guest_preemption_timer = 0xffffffff;
    run();
    CHECK_EQ(vmx_windows(v), CPU_OK);
    CHECK(vmx_deadline(v));
    CHECK_EQ(vmx_intercept(v, IC_CPUID, 0, 0), CPU_NESTED_EXIT);
    CHECK(x->f.guest_preemption_timer <= 0xffffffff && x->f.guest_preemption_timer > 0xf0000000);
    CHECK(!vmx_deadline(v));
    launch();
    x->f.pin |= PIN_PREEMPTION_TIMER;
    run();
    CHECK_EQ(vmx_windows(v), CPU_NESTED_EXIT);
    check_host(EXIT_PREEMPTION_TIMER);
    TEST("TSC read at the end of the preemption timer");
    launch();
    x->f.pin |= PIN_PREEMPTION_TIMER;
    x->f.guest_preemption_timer = 0xffffffff;
    run();
    v->request = 0;
    CHECK_EQ(op_rdtsc(v, &plain), CPU_OK);
    CHECK(!v->request);
    x->timer_end = tsc_read_l1(v) >> VMX_TIMER_SHIFT;
    CHECK_EQ(op_rdtsc(v, &plain), CPU_OK);
    CHECK(v->request & REQ_EVENT);
}

static u64 *ept_entry(unsigned table, unsigned index)
{
    return (u64 *)(vm.ram[0].host + EPT_AT + table * 0x1000) + index;
}

static void test_ept(void)
{
    TEST("EPT walk");
    launch();
    const u64 root = x->f.eptp, ad = root | EPTP_AD;
    struct stage2_fault f;
    gpa_t out;
    u64 size;
    u8 perms;
    CHECK(!ept_walk(v, root, NGPA(0x5123), ACCESS_READ, false, &out, &size, &perms, &f));
    CHECK(!f.misconfig);
    CHECK_EQ(f.perms, 0);
    *ept_entry(0, 0) = (EPT_AT + 0x1000) | 7;
    *ept_entry(1, 0) = (EPT_AT + 0x2000) | 7;
    *ept_entry(1, 1) = 0x80000000 | EPT_LEAF | 6 << 3 | 7;
    *ept_entry(2, 0) = (EPT_AT + 0x3000) | 7;
    *ept_entry(2, 1) = 0x200000 | EPT_LEAF | 6 << 3 | 5;
    *ept_entry(3, 5) = 0x7000 | 6 << 3 | 3;
    *ept_entry(3, 6) = 0x7000 | 6 << 3 | 6;
    *ept_entry(3, 7) = 0x7000 | 6 << 3 | 4;
    *ept_entry(3, 8) = 0x7000 | 2 << 3 | 7;
    *ept_entry(3, 9) = 1ull << 45 | 6 << 3 | 7;
    CHECK(ept_walk(v, root, NGPA(0x5123), ACCESS_WRITE, false, &out, &size, &perms, &f));
    CHECK_EQ(out.a, 0x7123);
    CHECK_EQ(size, 4096);
    CHECK_EQ(perms & 7, 3);
    CHECK(!ept_walk(v, root, NGPA(0x5123), ACCESS_FETCH, false, &out, &size, &perms, &f));
    CHECK_EQ(f.perms, 3);
    CHECK(!ept_walk(v, root, NGPA(0x6000), ACCESS_READ, false, &out, &size, &perms, &f));
    CHECK(f.misconfig);
    CHECK(ept_walk(v, root, NGPA(0x7000), ACCESS_FETCH, false, &out, &size, &perms, &f));
    CHECK(!ept_walk(v, root, NGPA(0x8000), ACCESS_READ, false, &out, &size, &perms, &f));
    CHECK(f.misconfig);
    CHECK(!ept_walk(v, root, NGPA(0x9000), ACCESS_READ, false, &out, &size, &perms, &f));
    CHECK(f.misconfig);
    CHECK(ept_walk(v, root, NGPA(0x212345), ACCESS_READ, false, &out, &size, &perms, &f));
    CHECK_EQ(out.a, 0x212345);
    CHECK_EQ(size, 0x200000);
    CHECK(ept_walk(v, root, NGPA(0x40012345), ACCESS_WRITE, false, &out, &size, &perms, &f));
    CHECK_EQ(out.a, 0x80012345);
    *ept_entry(1, 1) |= 0x1000;
    CHECK(!ept_walk(v, root, NGPA(0x40012345), ACCESS_WRITE, false, &out, &size, &perms, &f));
    CHECK(f.misconfig);
    TEST("EPT accessed and dirty flags");
    CHECK(!(*ept_entry(3, 5) & (EPT_A | EPT_D)));
    CHECK(ept_walk(v, ad, NGPA(0x5000), ACCESS_READ, false, &out, &size, &perms, &f));
    CHECK_EQ(*ept_entry(3, 5) & (EPT_A | EPT_D), EPT_A);
    CHECK_EQ(*ept_entry(0, 0) & (EPT_A | EPT_D), EPT_A);
    CHECK_EQ(perms & 7, 1);
    CHECK(ept_walk(v, ad, NGPA(0x5000), ACCESS_WRITE, false, &out, &size, &perms, &f));
    CHECK_EQ(*ept_entry(3, 5) & (EPT_A | EPT_D), EPT_A | EPT_D);
    CHECK_EQ(perms & 7, 3);
    TEST("EPT mode-based execute");
    *ept_entry(0, 0) |= EPT_XU;
    *ept_entry(1, 0) |= EPT_XU;
    *ept_entry(2, 0) |= EPT_XU;
    *ept_entry(3, 5) |= EPT_XU;
    CHECK(!ept_walk(v, root | EPT_ROOT_MODE_BASED, NGPA(0x5000), ACCESS_FETCH, false, &out, &size, &perms, &f));
    CHECK_EQ(f.perms, 0xb);
    CHECK(ept_walk(v, root | EPT_ROOT_MODE_BASED, NGPA(0x5000), ACCESS_FETCH, true, &out, &size, &perms, &f));
    TEST("EPT violation exits");
    run();
    const struct stage2_fault s = {
        .gpa = NGPA(0x1234), .la = 0x9999, .la_valid = true, .final = true, .access = ACCESS_WRITE, .perms = 5};
    CHECK_EQ(vmx_stage2(v, &s), CPU_NESTED_EXIT);
    check_host(EXIT_EPT_VIOLATION);
    CHECK_EQ(x->f.qualification, EPTQ_WRITE | 5 << 3 | EPTQ_LA_VALID | EPTQ_FINAL);
    CHECK_EQ(x->f.guest_physical, 0x1234);
    CHECK_EQ(x->f.guest_linear, 0x9999);
}

int main(void)
{
    machine_create();
    test_instructions();
    test_entry_exit();
    test_intercepts();
    test_events();
    test_ept();
    return TEST_END();
}
