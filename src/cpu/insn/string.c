/*
 * String instructions: MOVS, STOS, LODS, SCAS, CMPS, with and without repeat prefixes. Called by the dispatcher on the
 * vCPU's thread; string.h has the loop.
 *
 * Where all operands of a step are plain RAM, it handles all elements up to the next page border, by the host's own
 * string instruction of the same element size (so overlap behaves as on the host); elsewhere it handles one element
 * through mem_read and mem_write.
 * Source: SDM vol. 2B "REP/REPE/REPZ/REPNE/REPNZ-Repeat String Operation Prefix".
 */
#include "cpu/insn/string.h"
#include "cpu/core/copy.h"
#include "cpu/core/insn.h"
#include "cpu/insn/ops.h"

unsigned segment_override(const struct vcpu *v, const struct insn *in)
{
    unsigned seg = SEG_DS;
    bool wide = in_64bit(v);
    for (unsigned i = 0; i < in->len; i++) {
        switch (in->bytes[i]) {
        case BYTE_SEG_ES: seg = wide ? seg : SEG_ES; break;
        case BYTE_SEG_CS: seg = wide ? seg : SEG_CS; break;
        case BYTE_SEG_SS: seg = wide ? seg : SEG_SS; break;
        case BYTE_SEG_DS: seg = wide ? seg : SEG_DS; break;
        case BYTE_SEG_FS: seg = SEG_FS; break;
        case BYTE_SEG_GS: seg = SEG_GS; break;
        case BYTE_OPERAND_SIZE:
        case BYTE_ADDRESS_SIZE:
        case BYTE_LOCK:
        case BYTE_REPNE:
        case BYTE_REP: break;
        default:
            if (wide && (in->bytes[i] & 0xf0) == BYTE_REX)
                break; /* a REX prefix that is not the last prefix means nothing */
            return seg;
        }
    }
    return seg;
}

enum outcome string_open(struct vcpu *v, const struct string *s, unsigned reg, u64 limit, enum access access,
                         struct run *run)
{
    const unsigned seg = reg == RDI ? SEG_ES : s->seg, size = s->size;
    u64 offset = string_reg(v, s->in, reg), la;
    TRY(seg_linear(v, seg, offset, size, access, &la));
    *run = (struct run){.la = la, .count = 1};
    if ((la & (size - 1)) && (v->flags & FLAG_AC) && (v->cr0 & CR0_AM) && v->cpl == 3)
        return raise_ac(v);
    u64 in_page = la & PAGE_MASK, last = mask_size(~0ull, s->in->asz) - (size - 1);
    if (in_page + size > PAGE_SIZE || offset > last)
        return CPU_OK;
    u64 room;
    void *host;
    TRY(mem_pointer(v, la, access, &host, &room));
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
        u64 low = down ? offset - (n - 1) * size : offset;
        if (seg_linear(v, seg, low, n * size, access, &la) != CPU_OK)
            n = 1;
    }
    run->host = host;
    run->count = n;
    return CPU_OK;
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
    if (in->asz != 4 || !string_repeats(in) || v->vm->vendor != VENDOR_INTEL)
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
static enum outcome element_open(struct vcpu *v, const struct string *s, unsigned reg, u64 limit, struct run *run,
                                 u64 *value)
{
    TRY(string_open(v, s, reg, limit, ACCESS_READ, run));
    *value = 0;
    if (!run->host)
        return mem_read(v, run->la, value, s->size, ACCESS_READ);
    *value = element_load(run->host, s->size);
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
    if (!(__builtin_popcount((u8)r) & 1))
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
        if (in->bytes[i] == BYTE_REPNE || in->bytes[i] == BYTE_REP)
            last = in->bytes[i];
    return last == BYTE_REPNE;
}

static enum outcome movs_step(struct vcpu *v, struct string *s, u64 *n)
{
    struct run src, dst;
    u64 value;
    TRY(element_open(v, s, RSI, *n, &src, &value));
    TRY(string_open(v, s, RDI, *n, ACCESS_WRITE, &dst));
    *n = 1;
    if (!src.host || !dst.host)
        return mem_write(v, dst.la, &value, s->size, ACCESS_WRITE);
    *n = src.count < dst.count ? src.count : dst.count;
    move_elements(dst.host, src.host, *n, s->size, v->flags & FLAG_DF);
    return CPU_OK;
}

enum outcome op_movs(struct vcpu *v, const struct insn *in)
{
    struct string s = string_begin(v, in, element_size(in), true, true);
    repeat_begin(v, in, RSI, RDI);
    return string_repeat(v, &s, movs_step);
}

static enum outcome stos_step(struct vcpu *v, struct string *s, u64 *n)
{
    struct run dst;
    TRY(string_open(v, s, RDI, *n, ACCESS_WRITE, &dst));
    *n = dst.count;
    if (!dst.host)
        return mem_write(v, dst.la, &v->gpr[RAX], s->size, ACCESS_WRITE);
    u8 *lowest = (u8 *)dst.host - (v->flags & FLAG_DF ? (*n - 1) * s->size : 0);
    store_elements(lowest, v->gpr[RAX], *n, s->size);
    return CPU_OK;
}

enum outcome op_stos(struct vcpu *v, const struct insn *in)
{
    struct string s = string_begin(v, in, element_size(in), false, true);
    repeat_begin(v, in, RDI, RDI);
    return string_repeat(v, &s, stos_step);
}

/* Of a run only the last element is seen. */
static enum outcome lods_step(struct vcpu *v, struct string *s, u64 *n)
{
    struct run src;
    u64 value;
    TRY(element_open(v, s, RSI, *n, &src, &value));
    *n = src.count;
    u64 last = (*n - 1) * s->size;
    if (last)
        value = element_load((u8 *)src.host + (v->flags & FLAG_DF ? -last : last), s->size);
    reg_write(v, RAX, s->size, true, value);
    return CPU_OK;
}

enum outcome op_lods(struct vcpu *v, const struct insn *in)
{
    struct string s = string_begin(v, in, element_size(in), true, false);
    repeat_begin(v, in, RCX, RCX);
    return string_repeat(v, &s, lods_step);
}

/* The CPUs read ES:RDI first. Without a second operand in memory, `a` is the accumulator. */
static enum outcome compare_step(struct vcpu *v, struct string *s, u64 *n)
{
    struct run src, dst;
    const unsigned size = s->size;
    const s64 stride = v->flags & FLAG_DF ? -(s64)size : size;
    const bool two = s->source, unequal = repeats_while_unequal(s->in);
    u64 a = s->a, b;
    TRY(element_open(v, s, RDI, *n, &dst, &b));
    if (two)
        TRY(element_open(v, s, RSI, *n, &src, &a));
    u64 max = two && src.count < dst.count ? src.count : dst.count, i = 1;
    bool more = (a == b) != unequal;
    for (; i < max && more; i++) {
        if (two)
            a = element_load((u8 *)src.host + (s64)i * stride, size);
        b = element_load((u8 *)dst.host + (s64)i * stride, size);
        more = (a == b) != unequal;
    }
    s->a = a;
    s->b = b;
    s->over = !more;
    *n = i;
    return CPU_OK;
}

/*
 * SCAS and CMPS. After a fault the flags are those before the instruction, so they are set at the end (SDM: "the EFLAGS
 * value is restored to the state prior to the execution").
 */
static enum outcome compare(struct vcpu *v, const struct insn *in, bool two)
{
    struct string s = string_begin(v, in, element_size(in), two, true);
    s.a = mask_size(v->gpr[RAX], s.size);
    repeat_begin(v, in, RCX, RCX);
    if (!string_count(v, in))
        return CPU_OK;
    TRY(string_repeat(v, &s, compare_step));
    rflags_set_arith(v, compare_flags(s.a, s.b, s.size));
    return CPU_OK;
}

enum outcome op_scas(struct vcpu *v, const struct insn *in)
{
    return compare(v, in, false);
}

enum outcome op_cmps(struct vcpu *v, const struct insn *in)
{
    return compare(v, in, true);
}
