#include "cpu/core/cpuid.h"
#include "cpu/cpu.h"
#include "cpu/insn/ops.h"
#include "cpu/mmu/mmu.h"
#include "cpu/svm/svm.h"
#include "unit/test.h"

#include <stdlib.h>
#include <string.h>

#define RAM_SIZE 0x100000u
#define VMCB_AT 0x10000u

static void no_kick(void *opaque, u32 index)
{
}

static const struct cpu_host on_host = {.kick = no_kick};
static struct vm vm;
static struct vcpu *v;
static struct vmcb *vmcb;

static void create(void)
{
    static struct cpu_features features;
    static u32 page_flags[RAM_SIZE / PAGE_SIZE];
    struct error error;
    struct cpuid_config config = {
        .vendor = VENDOR_AMD, .nested = true, .vcpus = 1, .tsc_khz = 1000000, .phys_bits = 40};
    if (cpuid_create(&features, &config, &error))
        abort();
    vm = (struct vm){.host = &on_host,
                     .upcalls = &cpu_upcalls,
                     .vendor = VENDOR_AMD,
                     .vcpu_count = 1,
                     .phys_bits = 40,
                     .features = &features};
    vm.ram[0] = (struct ram_slot){.size = RAM_SIZE, .host = aligned_alloc(4096, RAM_SIZE), .page_flags = page_flags};
    vm.ram_slots = 1;
    memset(vm.ram[0].host, 0, RAM_SIZE);
    size_t size = (sizeof *v + 63) & ~63ul;
    v = aligned_alloc(64, size);
    memset(v, 0, size);
    v->vm = &vm;
    vm.vcpu[0] = v;
    size = (mmu_size() + 4095) & ~4095ul;
    mmu_init(v, aligned_alloc(4096, size));
    svm_init(v, calloc(1, svm_size()));
    vmcb = (struct vmcb *)(vm.ram[0].host + VMCB_AT);
}

/* L1 in flat 64-bit mode, about to execute VMRUN. */
static void host(void)
{
    v->cr0 = CR0_PE | CR0_PG | CR0_ET | CR0_NE;
    v->cr4 = CR4_PAE;
    v->cr3 = 0x1000;
    v->efer = EFER_SVME | EFER_LME | EFER_LMA;
    v->cpl = 0;
    v->seg[SEG_CS] = (struct segment){.limit = ~0u, .attr = SEG_P | SEG_S | SEG_L | SEG_G | 0xb, .sel = 8};
    v->seg[SEG_SS] = (struct segment){.limit = ~0u, .attr = SEG_P | SEG_S | SEG_DB | SEG_G | 3, .sel = 16};
    v->flags = FLAG_ONE;
    v->gpr[RAX] = VMCB_AT;
    v->gpr[RSP] = 0x8000;
    v->rip = 0x4000;
    v->next_rip = 0x4003;
    v->gif = true;
    v->pat = 0x0007040600070406;
    v->dr7 = DR7_FIXED;
}

/* A VMCB that passes all checks: a flat 64-bit guest with nested paging. */
static void good(void)
{
    memset(vmcb, 0, sizeof *vmcb);
    struct vmcb_control *c = &vmcb->control;
    c->intercept[SVM_EXIT_VMRUN / 32] = BIT(SVM_EXIT_VMRUN % 32) | BIT(SVM_EXIT_VMMCALL % 32);
    c->asid = 1;
    c->iopm = 0x20000;
    c->msrpm = 0x24000;
    c->nested = NESTED_NP_ENABLE;
    c->ncr3 = 0x30000;
    struct vmcb_save *g = &vmcb->save;
    g->efer = EFER_SVME | EFER_LME | EFER_LMA;
    g->cr0 = CR0_PE | CR0_PG | CR0_ET | CR0_NE;
    g->cr4 = CR4_PAE;
    g->cr3 = 0x40000;
    g->cs = (struct vmcb_segment){.sel = 8, .attr = 0xa9b, .limit = ~0u};
    g->ss = (struct vmcb_segment){.sel = 16, .attr = 0xc93, .limit = ~0u};
    g->dr6 = DR6_FIXED;
    g->dr7 = DR7_FIXED;
    g->rflags = FLAG_ONE;
    g->rip = 0x123456;
    g->rsp = 0x9000;
    g->rax = 0xaaaa;
    g->g_pat = 0x0007040600070406;
}

static enum outcome vmrun(void)
{
    static const struct insn in = {.asz = 8, .len = 3};
    return op_vmrun(v, &in);
}

#define C (vmcb->control)
#define G (vmcb->save)
/* clang-format off */
static void no_vmrun(void) { C.intercept[4] &= ~1u; }
static void no_asid(void) { C.asid = 0; }
static void tlb_control_2(void) { C.tlb_control = 2; }
static void tlb_control_8(void) { C.tlb_control = 8; }
static void msrpm_high(void) { C.msrpm = BIT64(40) - 0x2000; }
static void msrpm_beyond(void) { C.msrpm = BIT64(45); }
static void iopm_high(void) { C.iopm = BIT64(40) - 0x2000; }
static void ncr3_reserved(void) { C.ncr3 |= BIT64(41); }
static void bad_pat(void) { G.g_pat = 2; }
static void vnmi_alone(void) { C.vintr |= VINTR_NMI_ENABLE; }
static void inject_type_1(void) { C.event_inject = SVM_EVENT_V | 1 << 8; }
static void inject_type_7(void) { C.event_inject = SVM_EVENT_V | 7 << 8; }
static void inject_exception_2(void) { C.event_inject = SVM_EVENT_V | 3 << 8 | 2; }
static void inject_exception_32(void) { C.event_inject = SVM_EVENT_V | 3 << 8 | 32; }
static void no_svme(void) { G.efer &= ~EFER_SVME; }
static void nw_alone(void) { G.cr0 |= CR0_NW; }
static void cr0_high(void) { G.cr0 |= BIT64(32); }
static void cr3_high(void) { G.cr3 |= BIT64(52); }
static void cr4_vmxe(void) { G.cr4 |= CR4_VMXE; }
static void cr4_high(void) { G.cr4 |= BIT64(40); }
static void dr6_high(void) { G.dr6 |= BIT64(32); }
static void dr7_high(void) { G.dr7 |= BIT64(63); }
static void efer_9(void) { G.efer |= BIT64(9); }
static void no_pae(void) { G.cr4 &= ~CR4_PAE; }
static void no_pe(void) { G.cr0 &= ~CR0_PE; }
static void l_and_d(void) { G.cs.attr |= VMCB_ATTR_DB; }
/* clang-format on */

static const struct {
    const char *name;
    void (*breaks)(void);
    const char *rule; /* how the rule's text begins */
} cases[] = {
    {"VMRUN intercept", no_vmrun, "the VMRUN intercept is clear"},
    {"ASID 0", no_asid, "ASID is 0"},
    {"TLB_CONTROL 2", tlb_control_2, "TLB_CONTROL is reserved"},
    {"TLB_CONTROL 8", tlb_control_8, "TLB_CONTROL is reserved"},
    {"MSRPM at the end of memory", msrpm_high, "the MSR permissions map"},
    {"MSRPM beyond memory", msrpm_beyond, "the MSR permissions map"},
    {"IOPM at the end of memory", iopm_high, "the I/O permissions map"},
    {"nCR3 reserved", ncr3_reserved, "nCR3 has reserved"},
    {"G_PAT type 2", bad_pat, "G_PAT"},
    {"VNMI without NMI intercept", vnmi_alone, "NMI virtualization"},
    {"EVENTINJ type 1", inject_type_1, "EVENTINJ.TYPE is reserved"},
    {"EVENTINJ type 7", inject_type_7, "EVENTINJ.TYPE is reserved"},
    {"EVENTINJ exception 2", inject_exception_2, "EVENTINJ injects an exception"},
    {"EVENTINJ exception 32", inject_exception_32, "EVENTINJ injects an exception"},
    {"EFER.SVME", no_svme, "EFER.SVME is clear"},
    {"CR0.NW without CD", nw_alone, "CR0.CD is clear"},
    {"CR0 high half", cr0_high, "CR0[63:32]"},
    {"CR3 bit 52", cr3_high, "CR3 has reserved"},
    {"CR4.VMXE", cr4_vmxe, "CR4 has reserved"},
    {"CR4 bit 40", cr4_high, "CR4 has reserved"},
    {"DR6 high half", dr6_high, "DR6[63:32]"},
    {"DR7 high half", dr7_high, "DR7[63:32]"},
    {"EFER bit 9", efer_9, "EFER has reserved"},
    {"LME and PG without PAE", no_pae, "EFER.LME and CR0.PG are set and CR4.PAE"},
    {"LME and PG without PE", no_pe, "EFER.LME and CR0.PG are set and CR0.PE"},
    {"CS.L and CS.D", l_and_d, "EFER.LME, CR0.PG, CR4.PAE, CS.L"},
};

int main(void)
{
    create();

    TEST("a VMCB that breaks no rule enters the guest");
    host();
    good();
    CHECK_EQ(vmrun(), CPU_OK);
    CHECK(v->in_guest && v->gif && !v->svm->failed);
    CHECK_EQ(v->rip, 0x123456);
    CHECK_EQ(v->next_rip, 0x123456);
    CHECK_EQ(v->gpr[RAX], 0xaaaa);
    CHECK_EQ(v->cr3, 0x40000);

    TEST("an intercepted instruction of the guest leaves it");
    static const struct insn vmmcall = {.len = 3};
    v->next_rip = 0x123459;
    CHECK_EQ(op_vmmcall(v, &vmmcall), CPU_NESTED_EXIT);
    CHECK(!v->in_guest && !v->gif);
    CHECK_EQ(C.exit_code, SVM_EXIT_VMMCALL);
    CHECK_EQ(C.nrip, 0x123459);
    CHECK_EQ(G.rip, 0x123456);
    CHECK_EQ(v->rip, 0x4003);
    CHECK_EQ(v->next_rip, 0x4003);
    CHECK_EQ(v->cr3, 0x1000);
    CHECK_EQ(v->gpr[RSP], 0x8000);
    CHECK_EQ(v->gpr[RAX], VMCB_AT);

    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        TEST(cases[i].name);
        host();
        good();
        cases[i].breaks();
        v->svm->failed = NULL;
        CHECK_EQ(vmrun(), CPU_OK);
        CHECK(!v->in_guest && !v->gif);
        CHECK_EQ(C.exit_code, SVM_EXIT_INVALID);
        CHECK_EQ(v->next_rip, 0x4003);
        const char *rule = v->svm->failed;
        CHECK(rule && !strncmp(rule, cases[i].rule, strlen(cases[i].rule)));
        CHECK(rule && strstr(rule, "APM 2"));
    }

    TEST("host paging off with nested paging");
    host();
    good();
    v->cr0 &= ~CR0_PG;
    v->efer &= ~(EFER_LME | EFER_LMA);
    v->cr4 = 0;
    CHECK_EQ(vmrun(), CPU_OK);
    CHECK_EQ(C.exit_code, SVM_EXIT_INVALID);
    CHECK(v->svm->failed && !strncmp(v->svm->failed, "NP_ENABLE is set", 16));

    TEST("bad addresses and privileges raise exceptions");
    host();
    good();
    v->gpr[RAX] = VMCB_AT + 8;
    CHECK_EQ(vmrun(), CPU_FAULT);
    CHECK_EQ(v->fault.vector, EXC_GP);
    v->gpr[RAX] = BIT64(40);
    CHECK_EQ(vmrun(), CPU_FAULT);
    CHECK_EQ(v->fault.vector, EXC_GP);
    host();
    v->efer &= ~EFER_SVME;
    CHECK_EQ(vmrun(), CPU_FAULT);
    CHECK_EQ(v->fault.vector, EXC_UD);
    host();
    v->cpl = 3;
    CHECK_EQ(vmrun(), CPU_FAULT);
    CHECK_EQ(v->fault.vector, EXC_GP);
    return TEST_END();
}
