/*
 * Port I/O: IN, OUT, INS, OUTS. Called by the dispatcher on the vCPU's thread.
 *
 * Order of checks: I/O privilege (IOPL, then the I/O permission bitmap of the TSS), L2's intercept, the memory operand,
 * and only then the device, because reading a port may change it. The string forms keep vector state saved over a whole
 * run of elements.
 * Source: SDM vol. 1 "Input/Output", "I/O Permission Bit Map"; vol. 3C "Relative Priority of Faults and VM Exits".
 */
#include "cpu/core/copy.h"
#include "cpu/core/insn.h"
#include "cpu/core/nested.h"
#include "cpu/core/world.h"
#include "cpu/insn/ops.h"
#include "cpu/insn/string.h"

/* #GP(0) unless the I/O permission bitmap allows all ports [port, port + size). */
static enum outcome bitmap_check(struct vcpu *v, u16 port, unsigned size)
{
    const struct segment *tr = &v->seg[SEG_TR];
    unsigned type = tr->attr & SEG_TYPE_MASK;
    u64 wrap = in_long_mode(v) ? ~0ull : 0xffffffffull;
    if ((tr->attr & SEG_UNUSABLE) || !(tr->attr & SEG_P) || (type != SYS_TSS_BUSY && type != SYS_TSS_AVAIL) ||
        tr->limit < TSS_IO_MAP_BASE + 1)
        return raise_gp(v, 0);
    u16 base, bits;
    TRY(mem_read(v, (tr->base + TSS_IO_MAP_BASE) & wrap, &base, 2, ACCESS_READ | ACCESS_IMPLICIT));
    u32 at = base + port / 8u;
    if (at + 1 > tr->limit)
        return raise_gp(v, 0);
    TRY(mem_read(v, (tr->base + at) & wrap, &bits, 2, ACCESS_READ | ACCESS_IMPLICIT));
    return bits >> (port & 7) & ((1u << size) - 1) ? raise_gp(v, 0) : CPU_OK;
}

static enum outcome io_check(struct vcpu *v, u16 port, unsigned size)
{
    if (in_protected(v) && (in_v86(v) || v->cpl > iopl(v)))
        return bitmap_check(v, port, size);
    return CPU_OK;
}

/* I/O breakpoints: SDM vol. 3B "I/O Breakpoint Exception Conditions". */
static void io_breakpoint(struct vcpu *v, u16 port, unsigned size)
{
    if (likely(!(v->dr7 & DR7_ENABLED)) || !(v->cr4 & CR4_DE))
        return;
    u64 hit = 0;
    bool enabled = false;
    for (unsigned i = 0; i < 4; i++) {
        u64 len = DR7_LENGTH(v->dr7, i), first = v->dr[i] & ~len, last = first + len;
        if (DR7_KIND(v->dr7, i) != DR7_IO || port + size - 1 < first || port > last)
            continue;
        hit |= BIT64(i);
        enabled |= DR7_ENABLES(v->dr7, i);
    }
    if (!enabled)
        return;
    v->trap_pending = true;
    v->trap_dr6 |= hit;
}

static unsigned io_size(const struct insn *in)
{
    return !(in->opcode & 1) ? 1 : in->osz == 2 ? 2 : 4;
}

static enum outcome io_intercept(struct vcpu *v, u16 port, unsigned size, u32 info)
{
    return nested_check(v, IC_IO, info | IO_INFO_SIZE(size) | IO_INFO_PORT(port), v->next_rip);
}

/* E4, E5, E6, E7 have the port in the instruction; EC to EF in DX. */
static bool port_is_imm(const struct insn *in)
{
    return in->opcode < 0xe8;
}

static u16 port_of(const struct vcpu *v, const struct insn *in)
{
    return port_is_imm(in) ? (u8)in->imm : (u16)v->gpr[RDX];
}

/* SVM reports an address size for the plain forms too: that of the instruction. */
static u32 io_info(const struct insn *in)
{
    return IO_INFO_ASIZE(in->asz) | (port_is_imm(in) ? IO_INFO_IMM : 0);
}

enum outcome op_in(struct vcpu *v, const struct insn *in)
{
    unsigned size = io_size(in);
    u16 port = port_of(v, in);
    TRY(io_check(v, port, size));
    TRY(io_intercept(v, port, size, io_info(in) | IO_INFO_IN));
    u32 value = world_io_read(v, port, size);
    TRY(world_answered(v));
    reg_write(v, RAX, size, true, value);
    io_breakpoint(v, port, size);
    return CPU_OK;
}

enum outcome op_out(struct vcpu *v, const struct insn *in)
{
    unsigned size = io_size(in);
    u16 port = port_of(v, in);
    TRY(io_check(v, port, size));
    TRY(io_intercept(v, port, size, io_info(in)));
    world_io_write(v, port, (u32)mask_size(v->gpr[RAX], size), size);
    io_breakpoint(v, port, size);
    return CPU_OK;
}

static u32 string_info(const struct string *s, unsigned seg)
{
    u32 rep = string_repeats(s->in) ? IO_INFO_REP : 0;
    return IO_INFO_STRING | rep | IO_INFO_ASIZE(s->in->asz) | IO_INFO_SEG(seg);
}

static enum outcome ins_step(struct vcpu *v, struct string *s, u64 *n)
{
    const struct machine *machine = v->vm->machine;
    const u16 port = (u16)v->gpr[RDX];
    const unsigned size = s->size;
    const s64 stride = v->flags & FLAG_DF ? -(s64)size : size;
    struct run dst;
    TRY(string_open(v, s, RDI, *n, ACCESS_WRITE, &dst));
    *n = dst.count;
    if (dst.host) {
        u8 *p = dst.host;
        vector_save(v);
        if (machine->io_reads) {
            *n = stride < 0 ? 1 : dst.count;
            machine->io_reads(machine->opaque, port, p, size, *n);
        }
        for (u64 i = 0; !machine->io_reads && i < dst.count; i++, p += stride) {
            u32 value = machine->io_read(machine->opaque, port, size);
            copy_bytes(p, &value, size);
        }
        TRY(world_answered(v));
        foreign_event(v);
    } else {
        TRY(mem_probe(v, dst.la, size, ACCESS_WRITE));
        u32 value = world_io_read(v, port, size);
        TRY(world_answered(v));
        TRY(mem_write(v, dst.la, &value, size, ACCESS_WRITE));
    }
    io_breakpoint(v, port, size);
    return CPU_OK;
}

static enum outcome outs_step(struct vcpu *v, struct string *s, u64 *n)
{
    const struct machine *machine = v->vm->machine;
    const u16 port = (u16)v->gpr[RDX];
    const unsigned size = s->size;
    const s64 stride = v->flags & FLAG_DF ? -(s64)size : size;
    struct run src;
    u32 value = 0;
    TRY(string_open(v, s, RSI, *n, ACCESS_READ, &src));
    *n = src.count;
    if (src.host) {
        const u8 *p = src.host;
        vector_save(v);
        for (u64 i = 0; i < src.count; i++, p += stride) {
            copy_bytes(&value, p, size);
            machine->io_write(machine->opaque, port, value, size);
        }
        foreign_begin(v);
    } else {
        TRY(mem_read(v, src.la, &value, size, ACCESS_READ));
        world_io_write(v, port, value, size);
    }
    io_breakpoint(v, port, size);
    return CPU_OK;
}

enum outcome op_ins(struct vcpu *v, const struct insn *in)
{
    struct string s = string_begin(v, in, io_size(in), false, true);
    u16 port = (u16)v->gpr[RDX];
    TRY(io_check(v, port, s.size));
    if (!string_count(v, in))
        return CPU_OK;
    TRY(io_intercept(v, port, s.size, string_info(&s, SEG_ES) | IO_INFO_IN));
    return string_repeat(v, &s, ins_step);
}

enum outcome op_outs(struct vcpu *v, const struct insn *in)
{
    struct string s = string_begin(v, in, io_size(in), true, false);
    u16 port = (u16)v->gpr[RDX];
    TRY(io_check(v, port, s.size));
    if (!string_count(v, in))
        return CPU_OK;
    TRY(io_intercept(v, port, s.size, string_info(&s, s.seg)));
    return string_repeat(v, &s, outs_step);
}
