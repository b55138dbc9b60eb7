/*
 * What the slow path learns of an access: size, kind, alignment, x87 and masks, in the struct site of the cold part.
 */
#include "unit/translated.h"

static struct site found;

/* The site of the only memory access of an instruction. */
static const struct site *site_of(const u8 *bytes, size_t n)
{
    code_create();
    put_code(0, bytes, n);
    PUT((u32)n, HLT);
    translated_in(0, UNITS);
    const struct host_text *t = cold();
    for (unsigned i = 0; i < t->n; i++)
        if (!strcmp(t->line[i], "site") || !strcmp(t->line[i], "call [vcpu.slow_mem]")) {
            memcpy(&found, t->at[i + 1] - sizeof found, sizeof found);
            return &found;
        }
    CHECK(!"a site");
    return &found;
}

#define SITE(...) site_of((const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))
#define FLAGS(...) SITE(__VA_ARGS__)->flags

static void kinds(void)
{
    TEST("reads and writes");
    CHECK_EQ(FLAGS(0x48, 0x8b, 3 /* mov rax, [rbx] */), SITE_READ);
    CHECK(found.size == 8 && found.seg == SEG_DS && found.offset == 0 && found.len == 3);
    CHECK_EQ(FLAGS(0x88, 3 /* mov [rbx], al */), SITE_WRITE);
    CHECK_EQ(found.size, 1);
    CHECK_EQ(FLAGS(0x01, 3 /* add [rbx], eax */), SITE_READ | SITE_WRITE);
    CHECK_EQ(found.size, 4);
    CHECK_EQ(FLAGS(0x39, 0x45, 0 /* cmp [rbp], eax */), SITE_READ);
    CHECK_EQ(found.seg, SEG_SS);

    TEST("locked: by prefix, and XCHG without");
    CHECK_EQ(FLAGS(0xf0, 0x01, 3), SITE_READ | SITE_WRITE | SITE_LOCK);
    CHECK_EQ(FLAGS(0x87, 3 /* xchg [rbx], eax */), SITE_READ | SITE_WRITE | SITE_LOCK);

    TEST("the stack: RET and CALL only branch behind it");
    CHECK_EQ(FLAGS(0x50), SITE_WRITE);
    CHECK_EQ(found.seg, SEG_SS);
    CHECK_EQ(FLAGS(0xc3), SITE_READ);
    CHECK_EQ(FLAGS(0xe8, 0, 1, 0, 0), SITE_WRITE | SITE_STAY);

    TEST("an access to a cache line counts as a byte");
    CHECK_EQ(FLAGS(0x0f, 0xae, 0x3b /* clflush [rbx] */), SITE_READ);
    CHECK_EQ(found.size, 1);
    CHECK_EQ(FLAGS(0x66, 0x0f, 0xae, 0x33 /* clwb [rbx] */), SITE_READ);
    CHECK_EQ(found.size, 1);

    TEST("MOVSXD with 16 bits reads two bytes");
    SITE(0x66, 0x63, 3 /* movsxd ax, [rbx] */);
    CHECK_EQ(found.size, 2);
    SITE(0x63, 3);
    CHECK_EQ(found.size, 4);
    SITE(0x48, 0x63, 3);
    CHECK_EQ(found.size, 4);

    TEST("alignment");
    CHECK_EQ(FLAGS(0x0f, 0x28, 3 /* movaps xmm0, [rbx] */), SITE_READ | SITE_ALIGNED);
    CHECK_EQ(FLAGS(0x0f, 0x10, 3 /* movups xmm0, [rbx] */), SITE_READ);
    CHECK_EQ(FLAGS(0xc5, 0xfd, 0x7f, 3 /* vmovdqa [rbx], ymm0 */), SITE_WRITE | SITE_ALIGNED);
    CHECK_EQ(found.size, 32);
    CHECK_EQ(FLAGS(0x48, 0x0f, 0xc7, 0x0b /* cmpxchg16b [rbx] */), SITE_READ | SITE_WRITE | SITE_ALIGNED);

    TEST("x87: pending exceptions first, and an unmasked one stores nothing");
    CHECK_EQ(FLAGS(0xd8, 3 /* fadd dword ptr [rbx] */), SITE_READ);
    CHECK_EQ(found.seg, SEG_DS | SITE_X87);
    CHECK_EQ(FLAGS(0xdb, 0x3b /* fstp tbyte ptr [rbx] */), SITE_READ | SITE_WRITE);
    CHECK(found.seg == (SEG_DS | SITE_X87) && found.size == 10);
    CHECK_EQ(FLAGS(0xdd, 0x0b /* fisttp qword ptr [rbx] */), SITE_READ | SITE_WRITE);
    CHECK_EQ(found.seg, SEG_DS | SITE_X87);
    SITE(0xd9, 0x3b /* fnstcw [rbx] */);
    CHECK_EQ(found.seg, SEG_DS);
    SITE(0x0f, 0x6f, 3 /* movq mm0, [rbx] */);
    CHECK_EQ(found.seg, SEG_DS | SITE_X87);
}

/* Mask register, bytes of an element with ELEMENT_*, elements. */
static void check_mask(unsigned mask, unsigned element, unsigned elements)
{
    CHECK(found.flags & SITE_MASKED);
    CHECK_EQ(found.mask, mask);
    CHECK_EQ(found.element, element);
    CHECK_EQ(found.elements, elements);
}

/* clang-format off */
static void masks(void)
{
    TEST("VEX: sign bits of vvvv");
    CHECK_EQ(FLAGS(0xc4, 0xe2, 0x75, 0x2c, 3 /* vmaskmovps ymm0, ymm1, [rbx] */), SITE_READ | SITE_MASKED);
    check_mask(8 + 1, 4, 8);
    CHECK_EQ(FLAGS(0xc4, 0xe2, 0xe9, 0x8e, 3 /* vpmaskmovq [rbx], xmm2, xmm0 */),
             SITE_READ | SITE_WRITE | SITE_MASKED);
    check_mask(8 + 2, 8, 2);

    TEST("EVEX: elements of the operand");
    SITE(0x62, 0xf1, 0x74, 0x49, 0x58, 3 /* vaddps zmm0{k1}, zmm1, [rbx] */);
    check_mask(1, 4, 16);
    CHECK_EQ(FLAGS(0x62, 0xf1, 0x7f, 0x4a, 0x7f, 3 /* vmovdqu8 [rbx]{k2}, zmm0 */),
             SITE_READ | SITE_WRITE | SITE_MASKED);
    check_mask(2, 1, 64);
    SITE(0x62, 0xf1, 0xf5, 0x2b, 0x58, 3 /* vaddpd ymm0{k3}, ymm1, [rbx] */);
    check_mask(3, 8, 4);

    TEST("scalars and broadcasts");
    SITE(0x62, 0xf1, 0x76, 0x09, 0x58, 3 /* vaddss xmm0{k1}, xmm1, [rbx] */);
    check_mask(1, 4, 1);
    SITE(0x62, 0xf1, 0x74, 0x59, 0x58, 3 /* vaddps zmm0{k1}, zmm1, [rbx]{1to16} */);
    check_mask(1, host_vendor() == VENDOR_AMD ? 4 | ELEMENT_WHOLE : 4, 16);

    TEST("conversions: as many elements as are converted");
    SITE(0x62, 0xf1, 0x7c, 0x49, 0x5a, 3 /* vcvtps2pd zmm0{k1}, [rbx] */);
    check_mask(1, 4, 8);

    TEST("expand and compress: the elements lie together");
    SITE(0x62, 0xf2, 0x7d, 0x49, 0x88, 3 /* vexpandps zmm0{k1}, [rbx] */);
    check_mask(1, 4 | ELEMENT_PACKED, 16);

    TEST("a bit for each byte");
    SITE(0x62, 0xf2, 0x75, 0x49, 0x8f, 3 /* vpshufbitqmb k0{k1}, zmm1, [rbx] */);
    check_mask(1, 1, 64);

    TEST("complex numbers: a bit for each pair");
    SITE(0x62, 0xf6, 0x76, 0x49, 0x56, 3 /* vfmaddcph zmm0{k1}, zmm1, [rbx] */);
    check_mask(1, 4, 16);
    SITE(0x62, 0xf6, 0x76, 0x09, 0x57, 3 /* vfmaddcsh xmm0{k1}, xmm1, [rbx] */);
    check_mask(1, 4, 1);

    TEST("no suppression: no mask");
    CHECK_EQ(FLAGS(0x62, 0xf2, 0x75, 0x49, 0x16, 3 /* vpermps zmm0{k1}, zmm1, [rbx] */), SITE_READ);
    CHECK_EQ(FLAGS(0x62, 0xf1, 0x74, 0x48, 0x58, 3 /* vaddps zmm0, zmm1, [rbx] */), SITE_READ);
}
/* clang-format on */

int main(void)
{
    kinds();
    masks();
    return TEST_END();
}
