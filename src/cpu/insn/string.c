/*
 * String instructions: MOVS, STOS, LODS, SCAS, CMPS, with and without repeat prefixes.
 *
 * Called from optable.c on the vCPU's thread. An instruction works in steps. Where both operands are plain RAM, a step
 * is all elements up to the next page border, done by the host's own string instruction of the same element size (so
 * overlap behaves as on the host); elsewhere it is one element through mem_read and mem_write. After each step the
 * registers hold what the manual says an interrupted repetition leaves, so a fault in the next step needs no undoing.
 * A pending request, a trap or a changed translation between steps ends the instruction with next_rip = rip: it is
 * simply executed again for the rest of the count.
 * Source: SDM vol. 2B "REP/REPE/REPZ/REPNE/REPNZ-Repeat String Operation Prefix".
 */
#include "cpu/insn/string.h"
#include "cpu/core/copy.h"
#include "cpu/core/insn.h"
#include "cpu/insn/ops.h"

u64 string_reg(const struct vcpu *v, unsigned reg, unsigned asz)
{
    return mask_size(v->gpr[reg], asz);
}

void string_reg_add(struct vcpu *v, const struct insn *in, unsigned reg, u64 delta)
{
    reg_write(v, reg, in->asz, true, v->gpr[reg] + delta);
}

unsigned string_segment(const struct vcpu *v, const struct insn *in)
{
    unsigned seg = SEG_DS;
    if (!(in->prefixes & PREFIX_SEG))
        return seg;
    bool wide = in_64bit(v);
    for (unsigned i = 0; i < in->len; i++) {
        switch (in->bytes[i]) {
        case 0x26: seg = wide ? seg : SEG_ES; break;
        case 0x2e: seg = wide ? seg : SEG_CS; break;
        case 0x36: seg = wide ? seg : SEG_SS; break;
        case 0x3e: seg = wide ? seg : SEG_DS; break;
        case 0x64: seg = SEG_FS; break;
        case 0x65: seg = SEG_GS; break;
        /* clang-format off */
        case 0x66: case 0x67: case 0xf0: case 0xf2: case 0xf3: break;
        /* clang-format on */
        default:
            if (wide && (in->bytes[i] & 0xf0) == 0x40)
                break; /* a REX prefix that is not the last prefix means nothing */
            return seg;
        }
    }
    return seg;
}

bool string_leave(struct vcpu *v)
{
    return string_stepped(v) || v->trap_pending || v->code_changed || __atomic_load_n(&v->request, __ATOMIC_RELAXED);
}

enum outcome string_open(struct vcpu *v, const struct insn *in, struct span *s, unsigned seg, unsigned reg,
                         unsigned size, u64 limit, enum access access)
{
    u64 offset = string_reg(v, reg, in->asz);
    s->count = 1;
    s->host = NULL;
    TRY(seg_linear(v, seg, offset, size, access, &s->la));
    if ((s->la & (size - 1)) && (v->flags & FLAG_AC) && (v->cr0 & CR0_AM) && v->cpl == 3)
        return raise_ac(v);
    u64 in_page = s->la & PAGE_MASK, last = mask_size(~0ull, in->asz) - (size - 1);
    if (in_page + size > PAGE_SIZE || offset > last)
        return CPU_OK;
    u64 room;
    void *host;
    TRY(mem_pointer(v, s->la, access, &host, &room));
    if (!host)
        return CPU_OK;
    bool down = v->flags & FLAG_DF;
    u64 n = down ? in_page / size + 1 : (PAGE_SIZE - in_page) / size;
    /* Further elements before the offset wraps at the address size. */
    u64 further = (down ? offset : last - offset) / size;
    if (further < n)
        n = further + 1;
    if (limit < n)
        n = limit;
    if (n > 1 && !in_64bit(v)) {
        u64 la;
        u64 low = down ? offset - (n - 1) * size : offset;
        if (seg_linear(v, seg, low, n * size, access, &la) != CPU_OK)
            n = 1;
    }
    s->host = host;
    s->count = n;
    return CPU_OK;
}

void string_advance(struct vcpu *v, const struct insn *in, unsigned reg, unsigned size, u64 n)
{
    u64 bytes = n * size;
    string_reg_add(v, in, reg, v->flags & FLAG_DF ? -bytes : bytes);
}

u64 string_count(const struct vcpu *v, const struct insn *in)
{
    return in->prefixes & (PREFIX_REP | PREFIX_REPNE) ? string_reg(v, RCX, in->asz) : 1;
}

bool string_again(struct vcpu *v, const struct insn *in, u64 done)
{
    if (!(in->prefixes & (PREFIX_REP | PREFIX_REPNE)))
        return false;
    string_reg_add(v, in, RCX, -done);
    return string_reg(v, RCX, in->asz) != 0;
}

static unsigned element_size(const struct insn *in)
{
    return in->opcode & 1 ? in->osz : 1;
}

/*
 * Intel CPUs zero-extend RCX (and RDI and RSI of MOVS and STOS) when a repetition with 32-bit addresses begins, even if
 * its count is zero or its first element faults. Seen on the hardware; the manual is silent.
 */
static void repeat_begin(struct vcpu *v, const struct insn *in, unsigned reg1, unsigned reg2)
{
    if (in->asz != 4 || !(in->prefixes & (PREFIX_REP | PREFIX_REPNE)) || v->vm->vendor != VENDOR_INTEL)
        return;
    string_reg_add(v, in, RCX, 0);
    string_reg_add(v, in, reg1, 0);
    string_reg_add(v, in, reg2, 0);
}

/* Copies in address order given by `down`, element by element, as the guest's instruction would. */
static void move_elements(u8 *dst, const u8 *src, u64 n, unsigned size, bool down)
{
    if (!down && (size_t)(dst - src) >= n * size) {
        copy_bytes(dst, src, n * size);
        return;
    }
#define MOVE(insn)                                                                                                     \
    if (down)                                                                                                          \
        __asm__ volatile("std; rep " insn "; cld" : "+D"(dst), "+S"(src), "+c"(n) : : "memory");                       \
    else                                                                                                               \
        __asm__ volatile("rep " insn : "+D"(dst), "+S"(src), "+c"(n) : : "memory")
    switch (size) {
    case 1: MOVE("movsb"); break;
    case 2: MOVE("movsw"); break;
    case 4: MOVE("movsl"); break;
    default: MOVE("movsq"); break;
    }
#undef MOVE
}

static void store_elements(u8 *dst, u64 value, u64 n, unsigned size)
{
    switch (size) {
    case 1: __asm__ volatile("rep stosb" : "+D"(dst), "+c"(n) : "a"(value) : "memory"); break;
    case 2: __asm__ volatile("rep stosw" : "+D"(dst), "+c"(n) : "a"(value) : "memory"); break;
    case 4: __asm__ volatile("rep stosl" : "+D"(dst), "+c"(n) : "a"(value) : "memory"); break;
    default: __asm__ volatile("rep stosq" : "+D"(dst), "+c"(n) : "a"(value) : "memory"); break;
    }
}

static u64 element_load(const u8 *p, unsigned size)
{
    switch (size) {
    case 1: return *p;
    case 2: return *(const volatile u16 *)p;
    case 4: return *(const volatile u32 *)p;
    default: return *(const volatile u64 *)p;
    }
}

/* Opens the next elements for reading and loads the first. */
static enum outcome element_open(struct vcpu *v, const struct insn *in, struct span *s, unsigned seg, unsigned reg,
                                 u64 limit, u64 *value)
{
    unsigned size = element_size(in);
    TRY(string_open(v, in, s, seg, reg, size, limit, ACCESS_READ));
    *value = 0;
    if (!s->host)
        return mem_read(v, s->la, value, size, ACCESS_READ);
    *value = element_load(s->host, size);
    return CPU_OK;
}

/* The flags that CMP a, b of that size leaves. */
static u64 compare_flags(u64 a, u64 b, unsigned size)
{
    u64 r = mask_size(a - b, size);
    unsigned top = size * 8 - 1;
    u64 f = 0;
    if (a < b)
        f |= FLAG_CF;
    u8 low = (u8)r;
    low ^= low >> 4;
    if (!((0x6996 >> (low & 15)) & 1))
        f |= FLAG_PF;
    f |= (a ^ b ^ r) & FLAG_AF;
    if (!r)
        f |= FLAG_ZF;
    if (r >> top & 1)
        f |= FLAG_SF;
    if (((a ^ b) & (a ^ r)) >> top & 1)
        f |= FLAG_OF;
    return f;
}

/* Whether a repeated comparison goes on while elements differ. Of two repeat prefixes the last one counts. */
static bool repeats_while_unequal(const struct insn *in)
{
    const unsigned both = PREFIX_REP | PREFIX_REPNE;
    if ((in->prefixes & both) != both)
        return in->prefixes & PREFIX_REPNE;
    unsigned last = 0;
    for (unsigned i = 0; i < in->len; i++)
        if (in->bytes[i] == 0xf2 || in->bytes[i] == 0xf3)
            last = in->bytes[i];
    return last == 0xf2;
}

enum outcome op_movs(struct vcpu *v, const struct insn *in)
{
    unsigned size = element_size(in), seg = string_segment(v, in);
    bool down = v->flags & FLAG_DF;
    u64 count = string_count(v, in);
    repeat_begin(v, in, RSI, RDI);
    if (!count)
        return CPU_OK;
    for (;;) {
        struct span src, dst;
        u64 limit = string_stepped(v) ? 1 : count;
        u64 n = 1, value;
        TRY(element_open(v, in, &src, seg, RSI, limit, &value));
        TRY(string_open(v, in, &dst, SEG_ES, RDI, size, limit, ACCESS_WRITE));
        if (src.host && dst.host) {
            n = src.count < dst.count ? src.count : dst.count;
            move_elements(dst.host, src.host, n, size, down);
        } else {
            TRY(mem_write(v, dst.la, &value, size, ACCESS_WRITE));
        }
        string_advance(v, in, RSI, size, n);
        string_advance(v, in, RDI, size, n);
        if (!string_again(v, in, n))
            return CPU_OK;
        count -= n;
        if (string_leave(v))
            break;
    }
    v->next_rip = v->rip;
    return CPU_OK;
}

enum outcome op_stos(struct vcpu *v, const struct insn *in)
{
    unsigned size = element_size(in);
    bool down = v->flags & FLAG_DF;
    u64 count = string_count(v, in), value = v->gpr[RAX];
    repeat_begin(v, in, RDI, RDI);
    if (!count)
        return CPU_OK;
    for (;;) {
        struct span dst;
        TRY(string_open(v, in, &dst, SEG_ES, RDI, size, string_stepped(v) ? 1 : count, ACCESS_WRITE));
        u64 n = dst.count;
        if (dst.host)
            store_elements((u8 *)dst.host - (down ? (n - 1) * size : 0), value, n, size);
        else
            TRY(mem_write(v, dst.la, &value, size, ACCESS_WRITE));
        string_advance(v, in, RDI, size, n);
        if (!string_again(v, in, n))
            return CPU_OK;
        count -= n;
        if (string_leave(v))
            break;
    }
    v->next_rip = v->rip;
    return CPU_OK;
}

enum outcome op_lods(struct vcpu *v, const struct insn *in)
{
    unsigned size = element_size(in), seg = string_segment(v, in);
    bool down = v->flags & FLAG_DF;
    u64 count = string_count(v, in);
    repeat_begin(v, in, RCX, RCX);
    if (!count)
        return CPU_OK;
    for (;;) {
        struct span src;
        u64 value;
        TRY(element_open(v, in, &src, seg, RSI, string_stepped(v) ? 1 : count, &value));
        u64 n = src.count, last = (n - 1) * size;
        if (last)
            value = element_load((u8 *)src.host + (down ? -last : last), size);
        reg_write(v, RAX, size, true, value);
        string_advance(v, in, RSI, size, n);
        if (!string_again(v, in, n))
            return CPU_OK;
        count -= n;
        if (string_leave(v))
            break;
    }
    v->next_rip = v->rip;
    return CPU_OK;
}

/*
 * SCAS and CMPS; the CPUs read ES:RDI first. Without a second operand in memory, `a` is the accumulator. After a fault
 * the flags are those before the instruction, so they are set at the end (SDM: "the EFLAGS value is restored to the
 * state prior to the execution").
 */
static enum outcome compare(struct vcpu *v, const struct insn *in, bool two)
{
    unsigned size = element_size(in), seg = string_segment(v, in);
    s64 step = v->flags & FLAG_DF ? -(s64)size : size;
    bool unequal = repeats_while_unequal(in);
    u64 count = string_count(v, in), a = mask_size(v->gpr[RAX], size), b = 0;
    repeat_begin(v, in, RCX, RCX);
    if (!count)
        return CPU_OK;
    for (;;) {
        struct span src, dst;
        u64 limit = string_stepped(v) ? 1 : count, n = 1;
        TRY(element_open(v, in, &dst, SEG_ES, RDI, limit, &b));
        if (two)
            TRY(element_open(v, in, &src, seg, RSI, limit, &a));
        bool more = (a == b) != unequal;
        u64 max = two && src.count < dst.count ? src.count : dst.count;
        for (; n < max && more; n++) {
            if (two)
                a = element_load((u8 *)src.host + (s64)n * step, size);
            b = element_load((u8 *)dst.host + (s64)n * step, size);
            more = (a == b) != unequal;
        }
        if (two)
            string_advance(v, in, RSI, size, n);
        string_advance(v, in, RDI, size, n);
        bool left = string_again(v, in, n);
        if (left && more) {
            count -= n;
            if (!string_leave(v))
                continue;
            v->next_rip = v->rip;
        }
        rflags_set_arith(v, compare_flags(a, b, size));
        return CPU_OK;
    }
}

enum outcome op_scas(struct vcpu *v, const struct insn *in)
{
    return compare(v, in, false);
}

enum outcome op_cmps(struct vcpu *v, const struct insn *in)
{
    return compare(v, in, true);
}
