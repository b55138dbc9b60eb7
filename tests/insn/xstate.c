/*
 * struct vectors to and from an XSAVE area in standard format. Components that XSTATE_BV calls initial are written
 * out as what that means, so that both sides compare equal.
 */
#include "tests/insn/case.h"

#include <cpuid.h>
#include <string.h>

#define FEATURES (XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512)

u64 host_features(u32 off[8])
{
    u32 a, b, c, d;
    __cpuid_count(0xd, 0, a, b, c, d);
    u64 features = (a | (u64)d << 32) & FEATURES;
    for (unsigned i = 2; i < 8; i++) {
        __cpuid_count(0xd, i, a, b, c, d);
        off[i] = b;
    }
    return features;
}

void vectors_store(const struct vectors *v, u8 *area, const u32 off[8], u64 features)
{
    u64 bv = features;
    memset(area, 0, 32);
    memcpy(area, &v->fcw, 2);
    memcpy(area + 2, &v->fsw, 2);
    area[4] = (u8)v->ftw;
    memcpy(area + 24, &v->mxcsr, 4);
    for (unsigned i = 0; i < 8; i++)
        memcpy(area + 32 + 16 * i, v->st[i], 10);
    for (unsigned i = 0; i < 16; i++) {
        memcpy(area + 160 + 16 * i, v->zmm[i], 16);
        if (features & XCR0_AVX)
            memcpy(area + off[2] + 16 * i, v->zmm[i] + 16, 16);
        if (features & XCR0_ZMM_HI256)
            memcpy(area + off[6] + 32 * i, v->zmm[i] + 32, 32);
        if (features & XCR0_HI16_ZMM)
            memcpy(area + off[7] + 64 * i, v->zmm[16 + i], 64);
    }
    if (features & XCR0_OPMASK)
        memcpy(area + off[5], v->k, 64);
    memcpy(area + 512, &bv, 8);
    memset(area + 520, 0, 56);
}

void vectors_load(struct vectors *v, const u8 *area, const u32 off[8], u64 features)
{
    u64 bv;
    memcpy(&bv, area + 512, 8);
    bv &= features;
    memset(v, 0, sizeof(*v));
    v->fcw = 0x37f;
    if (bv & XCR0_X87) {
        memcpy(&v->fcw, area, 2);
        memcpy(&v->fsw, area + 2, 2);
        v->ftw = area[4];
        for (unsigned i = 0; i < 8; i++)
            memcpy(v->st[i], area + 32 + 16 * i, 10);
    }
    memcpy(&v->mxcsr, area + 24, 4);
    for (unsigned i = 0; i < 16; i++) {
        if (bv & XCR0_SSE)
            memcpy(v->zmm[i], area + 160 + 16 * i, 16);
        if (bv & XCR0_AVX)
            memcpy(v->zmm[i] + 16, area + off[2] + 16 * i, 16);
        if (bv & XCR0_ZMM_HI256)
            memcpy(v->zmm[i] + 32, area + off[6] + 32 * i, 32);
        if (bv & XCR0_HI16_ZMM)
            memcpy(v->zmm[16 + i], area + off[7] + 64 * i, 64);
    }
    if (bv & XCR0_OPMASK)
        memcpy(v->k, area + off[5], 64);
}

bool host_is_amd(void)
{
    u32 a, b, c, d;
    __cpuid(0, a, b, c, d);
    return b == signature_AMD_ebx;
}
