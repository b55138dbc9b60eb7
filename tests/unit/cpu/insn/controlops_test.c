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

static void control(void)
{
    TEST("MOV CR");
    guest_paging(PAGING_4);
    for (unsigned cr = 0; cr < 16; cr++) {
        bool exists = cr == 0 || cr == 2 || cr == 3 || cr == 4 || cr == 8;
        CHECK(move(op_mov_from_cr, cr) == (exists ? CPU_OK : CPU_FAULT));
        v->cpl = 3;
        CHECK(raised(move(op_mov_from_cr, cr), exists ? EXC_GP : EXC_UD));
        CHECK(raised(move(op_mov_to_cr, cr), exists ? EXC_GP : EXC_UD));
        v->cpl = 0;
    }
    v->gpr[RAX] = 0x123456789abcdef0;
    CHECK(move(op_mov_to_cr, 2) == CPU_OK && v->cr2 == 0x123456789abcdef0);
    v->gpr[RAX] = 16;
    CHECK(raised(move(op_mov_to_cr, 8), EXC_GP));
    v->gpr[RAX] = 9;
    CHECK(move(op_mov_to_cr, 8) == CPU_OK);
    CHECK(move(op_mov_from_cr, 8) == CPU_OK && v->gpr[RAX] == 9);

    TEST("CLTS, LMSW, SMSW");
    v->cr0 |= CR0_TS;
    CHECK(move(op_clts, 0) == CPU_OK && !(v->cr0 & CR0_TS));
    v->gpr[RAX] = CR0_TS | CR0_MP | 0x30;
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
    TEST("MOV DR");
    guest_paging(PAGING_4);
    v->gpr[RAX] = 0xfedcba9876543210;
    CHECK(move(op_mov_to_dr, 1) == CPU_OK && v->dr[1] == 0xfedcba9876543210);
    CHECK(raised(move(op_mov_to_dr, 6), EXC_GP) && raised(move(op_mov_to_dr, 7), EXC_GP));
    v->gpr[RAX] = 0xffffffff;
    CHECK(move(op_mov_to_dr, 6) == CPU_OK && v->dr6 == 0xffffefff);
    v->gpr[RAX] = 0;
    CHECK(move(op_mov_to_dr, 4) == CPU_OK && v->dr6 == DR6_FIXED);
    CHECK(move(op_mov_to_dr, 7) == CPU_OK && v->dr7 == DR7_FIXED);
    CHECK(move(op_mov_from_dr, 5) == CPU_OK && v->gpr[RAX] == DR7_FIXED);
    CHECK(raised(move(op_mov_from_dr, 8), EXC_UD));
    v->cr4 |= CR4_DE;
    CHECK(raised(move(op_mov_from_dr, 4), EXC_UD) && raised(move(op_mov_to_dr, 5), EXC_UD));
    v->cpl = 3;
    CHECK(raised(move(op_mov_from_dr, 0), EXC_GP));
    v->cpl = 0;
    v->dr7 = DR7_FIXED | DR7_GD;
    CHECK(raised(move(op_mov_from_dr, 0), EXC_DB) && v->fault.payload == DR6_BD);
    v->gpr[RAX] = 1ull << 32;
    CHECK(raised(move(op_mov_to_dr, 7), EXC_DB));
    v->cpl = 3;
    CHECK(raised(move(op_mov_from_dr, 0), EXC_DB));
    v->vm->vendor = VENDOR_AMD;
    CHECK(raised(move(op_mov_from_dr, 0), EXC_GP));
    v->vm->vendor = VENDOR_INTEL;
    v->cpl = 0;
    v->dr7 = DR7_FIXED;
}

static bool cached(u64 la)
{
    return v->tlb->rtag[tlb_index(la)] == -la;
}

static void translation(void)
{
    const u64 la = 0x7f0000403000, descriptor = 0x7f0000404000;
    bool filled;
    guest_paging(PAGING_4);
    map(la, 0x7000 | P);
    map(descriptor, 0x8000 | P);
    u64 *d = (u64 *)(ram + 0x8000);

    TEST("INVLPG");
    struct insn in = memory_insn(la + 0x10, 0);
    CHECK(mmu_fill(v, la, ACCESS_READ, &filled) == CPU_OK && filled && cached(la));
    v->cpl = 3;
    CHECK(raised(op_invlpg(v, &in), EXC_GP));
    v->cpl = 0;
    CHECK(op_invlpg(v, &in) == CPU_OK && !cached(la));
    struct insn far = memory_insn(0x800000000000, 0);
    CHECK(op_invlpg(v, &far) == CPU_OK);
    in.mem = false;
    CHECK(raised(op_invlpg(v, &in), EXC_UD));

    TEST("INVPCID");
    in = memory_insn(descriptor, RCX);
    for (unsigned type = 0; type < 4; type++) {
        d[0] = 0;
        d[1] = la;
        v->gpr[RCX] = type;
        CHECK(mmu_fill(v, la, ACCESS_READ, &filled) == CPU_OK && cached(la));
        CHECK(op_invpcid(v, &in) == CPU_OK && !cached(la));
        d[0] = 1; /* without CR4.PCIDE */
        CHECK(type < 2 ? raised(op_invpcid(v, &in), EXC_GP) : op_invpcid(v, &in) == CPU_OK);
        d[0] = 0x1000;
        CHECK(raised(op_invpcid(v, &in), EXC_GP));
    }
    d[0] = 0;
    d[1] = 1ull << 57;
    v->gpr[RCX] = 0;
    CHECK(raised(op_invpcid(v, &in), EXC_GP));
    v->gpr[RCX] = 1;
    CHECK(op_invpcid(v, &in) == CPU_OK);
    v->gpr[RCX] = 4;
    CHECK(raised(op_invpcid(v, &in), EXC_GP));
    v->gpr[RCX] = 0;
    map(descriptor, 0);
    mmu_flush_all(v);
    CHECK(raised(op_invpcid(v, &in), EXC_PF));
    v->cpl = 3;
    CHECK(raised(op_invpcid(v, &in), EXC_GP));
}

int main(void)
{
    guest_create(VENDOR_INTEL);
    control();
    debug();
    translation();
    return TEST_END();
}
