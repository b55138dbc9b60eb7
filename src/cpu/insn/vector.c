/*
 * Vector instructions whose memory accesses depend on register contents: MASKMOVQ, MASKMOVDQU, and the gathers and
 * scatters of AVX2 and AVX-512. Registers are reached by number through tables of one host instruction each. A gather
 * or scatter that faults, or makes L2 exit, keeps what it did: elements are handled from the lowest up, and each clears
 * its mask element.
 * Source: SDM volume 2, "VPGATHERDD/VPGATHERDQ", "VPSCATTERDD/...", "MASKMOVDQU".
 */
#include "cpu/core/fault.h"
#include "cpu/core/insn.h"
#include "cpu/core/vectors.h"
#include "cpu/insn/ops.h"
#include "cpu/insn/string.h"
#include "x86/xsave.h"

#define EIGHT(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define SIXTEEN(X) EIGHT(X) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define THIRTY_TWO(X)                                                                                                  \
    SIXTEEN(X) X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31)

struct vector {
    u8 b[64];
};

#define GET(i, move, bank)                                                                                             \
    case i:                                                                                                            \
        __asm__ volatile(move " %%" bank #i ", %0" : "=m"(*r));                                                        \
        break;
#define PUT(i, move, bank)                                                                                             \
    case i: __asm__ volatile(move " %0, %%" bank #i : : "m"(*r)); break;

static void mm_get(unsigned n, struct vector *r)
{
    switch (n & 7) {
#define X(i) GET(i, "movq", "mm")
        EIGHT(X)
#undef X
    }
}

static void xmm_get(unsigned n, struct vector *r)
{
    switch (n) {
#define X(i) GET(i, "movdqu", "xmm")
        SIXTEEN(X)
#undef X
    }
}

static void ymm_get(unsigned n, struct vector *r)
{
    switch (n) {
#define X(i) GET(i, "vmovdqu", "ymm")
        SIXTEEN(X)
#undef X
    }
}

static void ymm_put(unsigned n, const struct vector *r)
{
    switch (n) {
#define X(i) PUT(i, "vmovdqu", "ymm")
        SIXTEEN(X)
#undef X
    }
}

static void zmm_get(unsigned n, struct vector *r)
{
    switch (n) {
#define X(i) GET(i, "vmovdqu64", "zmm")
        THIRTY_TWO(X)
#undef X
    }
}

static void zmm_put(unsigned n, const struct vector *r)
{
    switch (n) {
#define X(i) PUT(i, "vmovdqu64", "zmm")
        THIRTY_TWO(X)
#undef X
    }
}

static u32 opmask_get(unsigned n)
{
    u32 value = 0;
    switch (n) {
#define X(i)                                                                                                           \
    case i: __asm__ volatile("kmovw %%k" #i ", %0" : "=r"(value)); break;
        EIGHT(X)
#undef X
    }
    return value;
}

static void opmask_put(unsigned n, u32 value)
{
    switch (n) {
#define X(i)                                                                                                           \
    case i: __asm__ volatile("kmovw %0, %%k" #i : : "r"(value)); break;
        EIGHT(X)
#undef X
    }
}

/* -- MASKMOVQ and MASKMOVDQU -- */

enum outcome op_maskmov(struct vcpu *v, const struct insn *in)
{
    struct vector data, mask;
    unsigned size = 16;
    if (in->vl || (in->prefixes & PREFIX_66)) {
        xmm_get(in->reg, &data);
        xmm_get(in->rm, &mask);
    } else {
        if (x87_status() & FSW_ES) /* a pending x87 exception comes first */
            return raise_event(v, EXC_MF, false, 0, 0);
        size = 8;
        mm_get(in->reg, &data);
        mm_get(in->rm, &mask);
    }
    unsigned seg = implicit_segment(v, in);
    u64 la[16];
    for (unsigned i = 0; i < size; i++) {
        if (!(mask.b[i] & 0x80))
            continue;
        u64 offset = mask_size(v->gpr[RDI] + i, in->asz);
        TRY(seg_linear(v, seg, offset, 1, ACCESS_WRITE, &la[i]));
        TRY(mem_probe(v, la[i], 1, ACCESS_WRITE));
    }
    for (unsigned i = 0; i < size;) {
        unsigned n = 0;
        while (i + n < size && (mask.b[i + n] & 0x80) && la[i + n] == la[i] + n)
            n++;
        if (n)
            TRY(mem_write(v, la[i], data.b + i, n, ACCESS_WRITE));
        i += n ? n : 1;
    }
    return CPU_OK;
}

/* -- gathers and scatters -- */

/* What the encoding says of a VSIB instruction. */
struct vsib {
    unsigned data;    /* bytes of an element */
    unsigned index;   /* bytes of an index */
    unsigned count;   /* of elements */
    unsigned indices; /* register number */
};

static struct vsib vsib_of(const struct insn *in)
{
    unsigned p = 0;
    while (in->bytes[p] != BYTE_VEX3 && in->bytes[p] != BYTE_EVEX)
        p++;
    const u8 *prefix = in->bytes + p;
    unsigned sib = in->evex ? prefix[6] : prefix[5];
    struct vsib s = {
        .data = prefix[2] & VEX_W ? 8 : 4,
        .index = in->opcode & 1 ? 8 : 4,
        .indices = (sib >> 3 & 7) | (prefix[1] & VEX_NOT_X ? 0 : 8) | (in->evex && !(prefix[3] & EVEX_NOT_V2) ? 16 : 0),
    };
    s.count = in->vl / (s.data > s.index ? s.data : s.index);
    return s;
}

static void vector_get(const struct insn *in, unsigned n, struct vector *r)
{
    if (in->evex)
        zmm_get(n, r);
    else
        ymm_get(n, r);
}

static u64 element_offset(const struct vcpu *v, const struct insn *in, const struct vsib *s,
                          const struct vector *indices, unsigned i)
{
    s64 index;
    if (s->index == 8) {
        __builtin_memcpy(&index, indices->b + i * 8, 8);
    } else {
        s32 narrow;
        __builtin_memcpy(&narrow, indices->b + i * 4, 4);
        index = narrow;
    }
    return mask_size(insn_offset(v, in) + (u64)index * in->scale, in->asz);
}

/* Elements whose mask is set: bits of the opmask, or sign bits of the mask register's elements. */
static u32 mask_get(const struct insn *in, const struct vsib *s)
{
    u32 all = (1u << s->count) - 1;
    if (in->evex)
        return opmask_get(in->evex_mask) & all;
    struct vector m;
    u32 mask = 0;
    ymm_get(in->vvvv, &m);
    for (unsigned i = 0; i < s->count; i++)
        mask |= (u32)(m.b[i * s->data + s->data - 1] >> 7) << i;
    return mask;
}

static void mask_put(const struct insn *in, const struct vsib *s, u32 mask)
{
    if (in->evex) {
        opmask_put(in->evex_mask, mask);
        return;
    }
    struct vector m = {0};
    for (unsigned i = 0; i < s->count * s->data; i++)
        m.b[i] = mask >> (i / s->data) & 1 ? 0xff : 0;
    ymm_put(in->vvvv, &m);
}

enum outcome op_gather(struct vcpu *v, const struct insn *in)
{
    struct vsib s = vsib_of(in);
    bool same = in->evex ? !in->evex_mask : in->reg == in->vvvv || in->vvvv == s.indices;
    if (same || in->reg == s.indices)
        return raise_ud(v);

    struct vector result, indices;
    vector_get(in, in->reg, &result);
    vector_get(in, s.indices, &indices);
    u32 mask = mask_get(in, &s);
    enum outcome out = CPU_OK;
    for (unsigned i = 0; i < s.count; i++) {
        if (!(mask >> i & 1))
            continue;
        u64 element;
        out = seg_read(v, in->seg, element_offset(v, in, &s, &indices, i), &element, s.data);
        if (out != CPU_OK)
            break;
        if (s.data == 8)
            __builtin_memcpy(result.b + i * 8, &element, 8);
        else
            __builtin_memcpy(result.b + i * 4, &element, 4);
        mask &= ~(1u << i);
    }
    if (out == CPU_OK)
        for (unsigned i = s.count * s.data; i < sizeof(result.b); i++)
            result.b[i] = 0;
    if (in->evex)
        zmm_put(in->reg, &result);
    else
        ymm_put(in->reg, &result);
    mask_put(in, &s, mask);
    return out;
}

enum outcome op_scatter(struct vcpu *v, const struct insn *in)
{
    struct vsib s = vsib_of(in);
    if (!in->evex_mask)
        return raise_ud(v);
    struct vector data, indices;
    zmm_get(in->reg, &data);
    zmm_get(s.indices, &indices);
    u32 mask = mask_get(in, &s);
    for (unsigned i = 0; i < s.count; i++) {
        if (!(mask >> i & 1))
            continue;
        enum outcome out = seg_write(v, in->seg, element_offset(v, in, &s, &indices, i), data.b + i * s.data, s.data);
        if (out != CPU_OK) {
            opmask_put(in->evex_mask, mask);
            return out;
        }
        mask &= ~(1u << i);
    }
    opmask_put(in->evex_mask, 0);
    return CPU_OK;
}
