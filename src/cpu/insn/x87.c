/*
 * FNSAVE, FRSTOR, FNSTENV, FLDENV: the x87 environment in its four memory formats (16 and 32 bit, real and protected
 * mode). The host's instructions move the registers in the 32-bit protected-mode format; the pointers are the guest's
 * (x87.h). FCS and FDS are zero, as CPUID says (deprecated).
 * Source: SDM volume 1, "Saving the x87 FPU's State with FSTENV/FNSTENV and FSAVE/FNSAVE".
 */
#include "cpu/insn/x87.h"

#include "cpu/core/copy.h"
#include "cpu/core/fault.h"
#include "cpu/core/upcalls.h"
#include "cpu/core/vectors.h"
#include "cpu/insn/ops.h"
#include "x86/xsave.h"

#define ENV_MAX 28   /* bytes of the environment in its 32-bit formats */
#define REGISTERS 80 /* bytes of the eight data registers behind the environment */
#define OPCODE 0x7ffu

struct x87_env { /* the host's format */
    u32 control, status, tag;
    u32 fip;
    u16 fcs, opcode;
    u32 fdp, fds;
};

struct x87_state {
    struct x87_env env;
    u8 registers[REGISTERS];
};

void x87_pointers(struct vcpu *v, u64 host_fip, u64 host_fdp, u64 *fip, u64 *fdp)
{
    *fip = host_fip == v->fip_loaded ? host_fip : v->vm->upcalls->guest_rip(v, host_fip);
    *fdp = host_fdp == v->fdp_loaded ? host_fdp : 0;
}

static bool real_format(const struct vcpu *v)
{
    return !in_protected(v) || in_v86(v);
}

static u32 env_size(const struct insn *in)
{
    return in->osz == 2 ? ENV_MAX / 2 : ENV_MAX;
}

static enum outcome x87_begin(struct vcpu *v, const struct insn *in, u32 size, enum access access, u64 *la)
{
    if (v->cr0 & (CR0_EM | CR0_TS))
        return raise_nm(v);
    return seg_linear(v, in->seg, insn_offset(v, in), size, access, la);
}

/* The environment with the guest's pointers; real-mode formats hold linear addresses. */
static void env_pointers(struct vcpu *v, struct x87_env *e, const u8 *fxsave)
{
    u64 host_fip, host_fdp, fip, fdp;
    __builtin_memcpy(&host_fip, fxsave + FXSAVE_FIP, 8);
    __builtin_memcpy(&host_fdp, fxsave + FXSAVE_FDP, 8);
    x87_pointers(v, host_fip, host_fdp, &fip, &fdp);
    if (real_format(v) && fip && host_fip != v->fip_loaded)
        fip += v->seg[SEG_CS].base;
    e->fip = (u32)fip;
    e->fdp = (u32)fdp;
    e->fcs = 0;
    e->fds = 0;
}

static void env_pack(const struct vcpu *v, const struct insn *in, const struct x87_env *e, u8 *out)
{
    u32 opcode = e->opcode & OPCODE;
    bool real = real_format(v);
    if (in->osz == 2) {
        u16 w[7] = {(u16)e->control, (u16)e->status, (u16)e->tag, (u16)e->fip, e->fcs, (u16)e->fdp, (u16)e->fds};
        if (real) {
            w[4] = (u16)(opcode | (e->fip >> 16 & 0xf) << 12);
            w[6] = (u16)((e->fdp >> 16 & 0xf) << 12);
        }
        __builtin_memcpy(out, w, sizeof(w));
        return;
    }
    u32 d[7] = {e->control, e->status, e->tag, e->fip, e->fcs | opcode << 16, e->fdp, e->fds};
    if (real) {
        d[3] = e->fip & 0xffff;
        d[4] = opcode | e->fip >> 16 << 12;
        d[5] = e->fdp & 0xffff;
        d[6] = e->fdp >> 16 << 12;
    }
    __builtin_memcpy(out, d, sizeof(d));
}

static void env_unpack(const struct vcpu *v, const struct insn *in, const u8 *image, struct x87_env *e)
{
    u16 w[7];
    u32 d[7];
    bool real = real_format(v);
    *e = (struct x87_env){0};
    if (in->osz == 2) {
        __builtin_memcpy(w, image, sizeof(w));
        e->control = w[0], e->status = w[1], e->tag = w[2], e->fip = w[3], e->fdp = w[5];
        if (real) {
            e->fip |= (u32)(w[4] >> 12) << 16;
            e->fdp |= (u32)(w[6] >> 12) << 16;
            e->opcode = w[4] & OPCODE;
        }
        return;
    }
    __builtin_memcpy(d, image, sizeof(d));
    e->control = d[0], e->status = d[1], e->tag = d[2];
    e->fip = real ? (d[3] & 0xffff) | (d[4] >> 12 & 0xffff) << 16 : d[3];
    e->fdp = real ? (d[5] & 0xffff) | (d[6] >> 12 & 0xffff) << 16 : d[5];
    e->opcode = (real ? d[4] : d[4] >> 16) & OPCODE;
}

static void host_fxsave(u8 image[XSTATE_LEGACY_SIZE])
{
    __asm__ volatile("fxsave64 %0" : "=m"(*(u8(*)[XSTATE_LEGACY_SIZE])image));
}

/* FNSTENV and FNSAVE. */
static enum outcome env_store(struct vcpu *v, const struct insn *in, bool registers)
{
    u8 fx[XSTATE_LEGACY_SIZE] __attribute__((aligned(16))), out[ENV_MAX + REGISTERS];
    struct x87_state m;
    u64 la;
    u32 size = env_size(in) + (registers ? REGISTERS : 0);
    TRY(x87_begin(v, in, size, ACCESS_WRITE, &la));
    TRY(mem_probe(v, la, size, ACCESS_WRITE));
    host_fxsave(fx);
    if (registers)
        __asm__ volatile("fnsave %0" : "=m"(m));
    else
        __asm__ volatile("fnstenv %0" : "=m"(m.env));
    env_pointers(v, &m.env, fx);
    env_pack(v, in, &m.env, out);
    if (registers)
        copy_bytes(out + env_size(in), m.registers, REGISTERS);
    return mem_write(v, la, out, size, ACCESS_WRITE);
}

enum outcome op_fnstenv(struct vcpu *v, const struct insn *in)
{
    return env_store(v, in, false);
}

enum outcome op_fnsave(struct vcpu *v, const struct insn *in)
{
    return env_store(v, in, true);
}

/* FLDENV and FRSTOR first take a pending exception. */
static enum outcome pending(struct vcpu *v)
{
    return x87_status() & FSW_ES ? raise_event(v, EXC_MF, false, 0, 0) : CPU_OK;
}

static enum outcome env_load(struct vcpu *v, const struct insn *in, bool registers)
{
    u8 image[ENV_MAX + REGISTERS];
    struct x87_state m;
    u64 la;
    u32 size = env_size(in) + (registers ? REGISTERS : 0);
    TRY(x87_begin(v, in, size, ACCESS_READ, &la));
    TRY(pending(v));
    TRY(mem_read(v, la, image, size, ACCESS_READ));
    env_unpack(v, in, image, &m.env);
    if (registers) {
        copy_bytes(m.registers, image + env_size(in), REGISTERS);
        __asm__ volatile("frstor %0" : : "m"(m));
    } else {
        __asm__ volatile("fldenv %0" : : "m"(m.env));
    }
    v->fip_loaded = m.env.fip;
    v->fdp_loaded = m.env.fdp;
    return CPU_OK;
}

enum outcome op_fldenv(struct vcpu *v, const struct insn *in)
{
    return env_load(v, in, false);
}

enum outcome op_frstor(struct vcpu *v, const struct insn *in)
{
    return env_load(v, in, true);
}
