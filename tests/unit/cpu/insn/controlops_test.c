/*
 * Handlers of control and debug registers and of TLB management: who gets #UD, #GP or #DB, and what is left in the
 * registers.
 */
#include "cpu/insn/ops.h"
#include "unit/guest_memory.h"
#include "unit/test.h"

static bool raised(enum outcome out, u8 vector)
{
    return out == CPU_FAULT && v->fault.vector == vector;
}

static enum outcome move(insn_fn fn, unsigned reg)
{
    struct insn in = {.mod = 3, .reg = (u8)reg, .rm = RAX, .osz = 8, .base = REG_NONE, .index = REG_NONE};
    return fn(v, &in);
}

static struct insn memory_insn(u64 la, unsigned reg)
{
    return (struct insn){.mem = true,
                         .reg = (u8)reg,
                         .osz = 8,
                         .asz = 8,
                         .seg = SEG_DS,
                         .disp = (s64)la,
                         .base = REG_NONE,
                         .index = REG_NONE};
}

/* MOV to a register, with `value` in RAX. */
static enum outcome to_cr(unsigned cr, u64 value)
{
    v->gpr[RAX] = value;
    return move(op_mov_to_cr, cr);
}

static enum outcome to_dr(unsigned dr, u64 value)
{
    v->gpr[RAX] = value;
    return move(op_mov_to_dr, dr);
}

/* A new vCPU in 64-bit mode with empty page tables. */
static void create(enum vendor vendor)
{
    guest_create(vendor);
    guest_paging(PAGING_4);
}

static void control(void)
{
    const u64 value = 0x123456789abcdef0;
    TEST("MOV CR: registers that exist, privilege");
    create(VENDOR_INTEL);
    for (unsigned cr = 0; cr < 16; cr++) {
        bool exists = cr == 0 || cr == 2 || cr == 3 || cr == 4 || cr == 8;
        v->cpl = 0;
        CHECK(move(op_mov_from_cr, cr) == (exists ? CPU_OK : CPU_FAULT));
        v->cpl = 3;
        CHECK(raised(move(op_mov_from_cr, cr), exists ? EXC_GP : EXC_UD));
        CHECK(raised(move(op_mov_to_cr, cr), exists ? EXC_GP : EXC_UD));
    }

    TEST("MOV to CR2 and CR8");
    create(VENDOR_INTEL);
    CHECK(to_cr(2, value) == CPU_OK && v->cr2 == value);
    CHECK(raised(to_cr(8, 16), EXC_GP));
    CHECK(to_cr(8, 9) == CPU_OK);
    CHECK(move(op_mov_from_cr, 8) == CPU_OK && v->gpr[RAX] == 9);

    TEST("CLTS, LMSW, SMSW");
    create(VENDOR_INTEL);
    v->cr0 |= CR0_TS;
    CHECK(move(op_clts, 0) == CPU_OK && !(v->cr0 & CR0_TS));
    v->gpr[RAX] = CR0_TS | CR0_MP | CR0_ET | CR0_NE; /* the latter two are not in what LMSW loads */
    u64 cr0 = v->cr0;
    CHECK(move(op_lmsw, 0) == CPU_OK && v->cr0 == (cr0 | CR0_TS | CR0_MP));
    v->cpl = 3;
    CHECK(raised(move(op_lmsw, 0), EXC_GP) && raised(move(op_clts, 0), EXC_GP));
    CHECK(move(op_smsw, 0) == CPU_OK && v->gpr[RAX] == v->cr0);
    v->cr4 |= CR4_UMIP;
    CHECK(raised(move(op_smsw, 0), EXC_GP));
}

static void debug(void)
{
    const u64 value = 0xfedcba9876543210;
    TEST("MOV DR: bits that are fixed, DR4 and DR5 are DR6 and DR7");
    create(VENDOR_INTEL);
    CHECK(to_dr(1, value) == CPU_OK && v->dr[1] == value);
    CHECK(raised(to_dr(6, value), EXC_GP) && raised(to_dr(7, value), EXC_GP));
    CHECK(to_dr(6, 0xffffffff) == CPU_OK && v->dr6 == (DR6_FIXED | DR6_WRITABLE));
    CHECK(to_dr(4, 0) == CPU_OK && v->dr6 == DR6_FIXED);
    CHECK(to_dr(7, 0) == CPU_OK && v->dr7 == DR7_FIXED);
    CHECK(move(op_mov_from_dr, 5) == CPU_OK && v->gpr[RAX] == DR7_FIXED);
    CHECK(raised(move(op_mov_from_dr, 8), EXC_UD));

    TEST("MOV DR: not DR4 and DR5 with CR4.DE");
    create(VENDOR_INTEL);
    v->cr4 |= CR4_DE;
    CHECK(raised(move(op_mov_from_dr, 4), EXC_UD) && raised(to_dr(5, 0), EXC_UD));

    TEST("MOV DR: privilege");
    create(VENDOR_INTEL);
    v->cpl = 3;
    CHECK(raised(move(op_mov_from_dr, 0), EXC_GP));
}

static void general_detect(void)
{
    TEST("general detect comes before other faults with Intel");
    create(VENDOR_INTEL);
    v->dr7 = DR7_FIXED | DR7_GD;
    CHECK(raised(move(op_mov_from_dr, 0), EXC_DB) && v->fault.payload == DR6_BD);
    CHECK(raised(to_dr(7, 1ull << 32), EXC_DB));
    v->cpl = 3;
    CHECK(raised(move(op_mov_from_dr, 0), EXC_DB));

    TEST("general detect comes after privilege with AMD");
    create(VENDOR_AMD);
    v->dr7 = DR7_FIXED | DR7_GD;
    CHECK(raised(move(op_mov_from_dr, 0), EXC_DB) && v->fault.payload == DR6_BD);
    v->cpl = 3;
    CHECK(raised(move(op_mov_from_dr, 0), EXC_GP));
}

#define PAGE_LA 0x7f0000403000ull
#define DESCRIPTOR_LA 0x7f0000404000ull
#define PAGE_GPA 0x7000u
#define DESCRIPTOR_GPA 0x8000u
#define NOT_CANONICAL 0x800000000000

/* A new vCPU with a page and INVPCID's descriptor mapped; gives the descriptor. */
static u64 *create_mapped(void)
{
    create(VENDOR_INTEL);
    map(PAGE_LA, PAGE_GPA | P);
    map(DESCRIPTOR_LA, DESCRIPTOR_GPA | P);
    return (u64 *)(ram + DESCRIPTOR_GPA);
}

static bool cached(void)
{
    return v->tlb->rtag[tlb_index(PAGE_LA)] == -PAGE_LA;
}

/* Brings the page into the TLB. */
static bool fill(void)
{
    bool filled;
    return mmu_fill(v, PAGE_LA, ACCESS_READ, &filled) == CPU_OK && filled && cached();
}

static void invlpg(void)
{
    TEST("INVLPG");
    create_mapped();
    struct insn in = memory_insn(PAGE_LA + 0x10, 0), far = memory_insn(NOT_CANONICAL, 0);
    CHECK(fill());
    v->cpl = 3;
    CHECK(raised(op_invlpg(v, &in), EXC_GP) && cached());
    v->cpl = 0;
    CHECK(op_invlpg(v, &in) == CPU_OK && !cached());
    CHECK(op_invlpg(v, &far) == CPU_OK);
    in.mem = false;
    CHECK(raised(op_invlpg(v, &in), EXC_UD));
}

static enum outcome invpcid(u64 type)
{
    struct insn in = memory_insn(DESCRIPTOR_LA, RCX);
    v->gpr[RCX] = type;
    return op_invpcid(v, &in);
}

static void invpcid_types(void)
{
    static const char *const names[] = {"INVPCID of an address", "INVPCID of a PCID", "INVPCID of all",
                                        "INVPCID of all that is not global"};
    for (unsigned type = INVPCID_ADDRESS; type <= INVPCID_ALL_NONGLOBAL; type++) {
        TEST(names[type]);
        u64 *descriptor = create_mapped();
        descriptor[1] = PAGE_LA;
        CHECK(fill());
        CHECK(invpcid(type) == CPU_OK && !cached());
        descriptor[0] = 1; /* a PCID without CR4.PCIDE */
        CHECK(type <= INVPCID_SINGLE ? raised(invpcid(type), EXC_GP) : invpcid(type) == CPU_OK);
        descriptor[0] = CR3_PCID_MASK + 1;
        CHECK(raised(invpcid(type), EXC_GP));
    }

    TEST("INVPCID: the type, an address that is not canonical");
    u64 *descriptor = create_mapped();
    CHECK(raised(invpcid(INVPCID_ALL_NONGLOBAL + 1), EXC_GP));
    descriptor[1] = 1ull << 57;
    CHECK(raised(invpcid(INVPCID_ADDRESS), EXC_GP));
    CHECK(invpcid(INVPCID_SINGLE) == CPU_OK);

    TEST("INVPCID: privilege comes before the descriptor's page fault");
    create_mapped();
    map(DESCRIPTOR_LA, 0);
    CHECK(raised(invpcid(INVPCID_ADDRESS), EXC_PF));
    v->cpl = 3;
    CHECK(raised(invpcid(INVPCID_ADDRESS), EXC_GP));
}

int main(void)
{
    control();
    debug();
    general_detect();
    invlpg();
    invpcid_types();
    return TEST_END();
}
