/*
 * What is called in place of an instruction that must not be executed now: its part of the CPU is switched off, or it
 * is too long. Which exception comes depends on state that is no part of a block's key, so it is found out here.
 */
#include "cpu/core/fault.h"
#include "cpu/insn/ops.h"

enum outcome op_x87_unusable(struct vcpu *v, const struct insn *in)
{
    return raise_nm(v);
}

enum outcome op_mmx_unusable(struct vcpu *v, const struct insn *in)
{
    return v->cr0 & CR0_EM ? raise_ud(v) : raise_nm(v);
}

enum outcome op_sse_unusable(struct vcpu *v, const struct insn *in)
{
    return v->cr0 & CR0_EM || !(v->cr4 & CR4_OSFXSR) ? raise_ud(v) : raise_nm(v);
}

static enum outcome vex_unusable(struct vcpu *v, u64 xcr0)
{
    bool enabled = v->cr4 & CR4_OSXSAVE && (v->xcr0 & xcr0) == xcr0 && v->mode & MODE_PROT;
    return enabled ? raise_nm(v) : raise_ud(v);
}

enum outcome op_avx_unusable(struct vcpu *v, const struct insn *in)
{
    return vex_unusable(v, XCR0_SSE | XCR0_AVX);
}

enum outcome op_avx512_unusable(struct vcpu *v, const struct insn *in)
{
    return vex_unusable(v, XCR0_SSE | XCR0_AVX | XCR0_AVX512);
}

/* More than 15 bytes. */
enum outcome op_too_long(struct vcpu *v, const struct insn *in)
{
    return raise_gp(v, 0);
}
