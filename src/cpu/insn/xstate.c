/*
 * FXSAVE, FXRSTOR and the XSAVE family. The guest's registers are live in the host, so the host's own XSAVE and XRSTOR
 * move them between the registers and an image of ours in the standard format; between the image and the guest's memory
 * the format, the mask, the header's rules and what the mode can reach are the guest's. PKRU is never in a host
 * register. The x87 instruction pointer is a host address unless the guest loaded it itself; it is translated or
 * hidden. All memory is known to be accessible before anything changes.
 * Source: SDM volume 1, "Managing State Using the XSAVE Feature Set"; volume 2, "FXSAVE", "XRSTOR".
 */
#include "cpu/insn/xstate.h"

#include "cpu/core/copy.h"
#include "cpu/core/cpuid.h"
#include "cpu/core/nested.h"
#include "cpu/insn/ops.h"
#include "cpu/insn/x87.h"

#define X87_CONTROL FXSAVE_MXCSR /* bytes of x87 state before MXCSR: all but its registers */
#define HOST_COMPONENTS (XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512)

struct xstate_image {
    u8 b[XSTATE_SIZE_MAX];
} __attribute__((aligned(64)));

static u64 get64(const u8 *p)
{
    u64 x;
    __builtin_memcpy(&x, p, 8);
    return x;
}

static u32 get32(const u8 *p)
{
    u32 x;
    __builtin_memcpy(&x, p, 4);
    return x;
}

static void put64(u8 *p, u64 x)
{
    __builtin_memcpy(p, &x, 8);
}

static void put32(u8 *p, u32 x)
{
    __builtin_memcpy(p, &x, 4);
}

/* The host leaves reserved bytes of the legacy region alone: they must not show what was on the stack. */
static void host_fxsave(struct xstate_image *m)
{
    fill_bytes(m->b, 0, FXSAVE_XMM);
    __asm__ volatile("fxsave64 %0" : "+m"(*m));
}

static void host_xsave(struct xstate_image *m, u64 mask)
{
    fill_bytes(m->b, 0, FXSAVE_XMM);
    fill_bytes(m->b + XSTATE_BV, 0, XSTATE_HEADER_SIZE);
    __asm__ volatile("xsave64 %0" : "+m"(*m) : "a"((u32)mask), "d"((u32)(mask >> 32)));
}

static void host_xrstor(const struct xstate_image *m, u64 mask)
{
    __asm__ volatile("xrstor64 %0" : : "m"(*m), "a"((u32)mask), "d"((u32)(mask >> 32)) : "memory");
}

static u32 host_mxcsr(void)
{
    u32 x;
    __asm__ volatile("stmxcsr %0" : "=m"(x));
    return x;
}

/* -- geometry -- */

/* Bytes of a component that the current mode reaches: outside 64-bit mode registers 8 and up are out of sight. */
static u32 reach(const struct vcpu *v, unsigned i)
{
    u32 size = v->vm->features->xstate[i].size;
    if (in_64bit(v))
        return size;
    switch (BIT64(i)) {
    case XCR0_SSE:
    case XCR0_AVX:
    case XCR0_ZMM_HI256: return size / 2;
    case XCR0_HI16_ZMM: return 0;
    }
    return size;
}

/* -- the parts of an image that are the guest's affair -- */

static bool is_wide(const struct insn *in)
{
    return in->rex & REX_W;
}

static void x87_to_guest(struct vcpu *v, const struct insn *in, u8 *legacy)
{
    u64 fip, fdp;
    x87_pointers(v, get64(legacy + FXSAVE_FIP), get64(legacy + FXSAVE_FDP), &fip, &fdp);
    put64(legacy + FXSAVE_FIP, is_wide(in) ? fip : (u32)fip);
    put64(legacy + FXSAVE_FDP, is_wide(in) ? fdp : (u32)fdp);
}

static void x87_from_guest(const struct insn *in, u8 *legacy)
{
    if (is_wide(in))
        return;
    put64(legacy + FXSAVE_FIP, get32(legacy + FXSAVE_FIP));
    put64(legacy + FXSAVE_FDP, get32(legacy + FXSAVE_FDP));
}

static void x87_loaded(struct vcpu *v, const u8 *legacy)
{
    v->fip_loaded = get64(legacy + FXSAVE_FIP);
    v->fdp_loaded = get64(legacy + FXSAVE_FDP);
}

static u64 save_all(struct vcpu *v, struct xstate_image *m, u64 mask)
{
    host_xsave(m, mask & HOST_COMPONENTS);
    u64 in_use = get64(m->b + XSTATE_BV);
    if (mask & XCR0_PKRU) {
        put64(m->b + v->vm->features->xstate[XSTATE_PKRU].offset, v->pkru);
        if (v->pkru)
            in_use |= XCR0_PKRU;
    }
    return in_use;
}

u64 xstate_in_use(struct vcpu *v)
{
    struct xstate_image m;
    return save_all(v, &m, v->xcr0);
}

bool xstate_xcr0_valid(const struct vcpu *v, u64 value)
{
    u64 avx512 = value & XCR0_AVX512;
    if ((value & ~(v->vm->features->xcr0 | XCR0_X87)) || !(value & XCR0_X87))
        return false;
    if ((value & XCR0_AVX) && !(value & XCR0_SSE))
        return false;
    return !avx512 || (avx512 == XCR0_AVX512 && (value & XCR0_AVX));
}

/* -- as state: the vCPU's vector registers are in its save area -- */

/* CPUs without XSAVE have those of FXSAVE. */
static u64 image_components(const struct vcpu *v)
{
    return v->vm->features->xcr0 | XCR0_X87 | XCR0_SSE;
}

void xstate_image_get(struct vcpu *v, u8 *image)
{
    const struct cpu_features *f = v->vm->features;
    const struct xstate_component *c = f->xstate;
    u64 present = get64(v->vectors + XSTATE_BV) & image_components(v) & HOST_COMPONENTS, fip, fdp;
    fill_bytes(image, 0, STATE_XSAVE_SIZE);
    put32(image + FXSAVE_FCW, FCW_INIT);
    if (present & XCR0_X87) {
        copy_bytes(image, v->vectors, X87_CONTROL);
        copy_bytes(image + FXSAVE_ST, v->vectors + FXSAVE_ST, FXSAVE_ST_SIZE);
        x87_pointers(v, get64(v->vectors + FXSAVE_FIP), get64(v->vectors + FXSAVE_FDP), &fip, &fdp);
        put64(image + FXSAVE_FIP, fip);
        put64(image + FXSAVE_FDP, fdp);
    }
    put32(image + FXSAVE_MXCSR, get32(v->vectors + FXSAVE_MXCSR));
    put32(image + FXSAVE_MXCSR_MASK, f->mxcsr_mask);
    for (unsigned i = 1; i < XSTATE_COMPONENTS; i++)
        if (present & BIT64(i))
            copy_bytes(image + c[i].offset, v->vectors + c[i].offset, c[i].size);
    if (f->xcr0 & XCR0_PKRU && v->pkru) {
        put32(image + c[XSTATE_PKRU].offset, v->pkru);
        present |= XCR0_PKRU;
    }
    put64(image + XSTATE_BV, present);
}

bool xstate_image_legal(const struct vcpu *v, const u8 *image)
{
    const struct cpu_features *f = v->vm->features;
    u64 rest = 0;
    for (unsigned i = 8; i < XSTATE_HEADER_SIZE; i += 8)
        rest |= get64(image + XSTATE_BV + i);
    return !rest && !(get64(image + XSTATE_BV) & ~image_components(v)) &&
           !(get32(image + FXSAVE_MXCSR) & ~f->mxcsr_mask);
}

void xstate_image_set(struct vcpu *v, const u8 *image)
{
    const struct xstate_component *c = v->vm->features->xstate;
    u64 present = get64(image + XSTATE_BV);
    fill_bytes(v->vectors, 0, sizeof v->vectors);
    put32(v->vectors + FXSAVE_MXCSR, get32(image + FXSAVE_MXCSR));
    v->fip_loaded = v->fdp_loaded = 0;
    if (present & XCR0_X87) {
        copy_bytes(v->vectors, image, X87_CONTROL);
        copy_bytes(v->vectors + FXSAVE_ST, image + FXSAVE_ST, FXSAVE_ST_SIZE);
        x87_loaded(v, image);
    }
    for (unsigned i = 1; i < XSTATE_COMPONENTS; i++)
        if (present & HOST_COMPONENTS & BIT64(i))
            copy_bytes(v->vectors + c[i].offset, image + c[i].offset, c[i].size);
    v->pkru = present & XCR0_PKRU ? get32(image + c[XSTATE_PKRU].offset) : 0;
    put64(v->vectors + XSTATE_BV, present & HOST_COMPONENTS);
}

/* -- FXSAVE and FXRSTOR -- */

static enum outcome fx_begin(struct vcpu *v, const struct insn *in, enum access access, u64 *la)
{
    if (!cpu_has(v->vm, FEATURE_FXSR))
        return raise_ud(v);
    if (v->cr0 & (CR0_EM | CR0_TS))
        return raise_nm(v);
    TRY(seg_linear(v, in->seg, insn_offset(v, in), XSTATE_LEGACY_SIZE, access, la));
    return *la & 15 ? raise_gp(v, 0) : CPU_OK;
}

/* Bytes of XMM registers in the image: none if the system does not use them or fast FXSAVE leaves them out. */
static u32 fx_xmm(const struct vcpu *v)
{
    if (!(v->cr4 & CR4_OSFXSR))
        return 0;
    if ((v->efer & EFER_FFXSR) && in_64bit(v) && v->cpl == 0)
        return 0;
    return reach(v, XSTATE_SSE);
}

enum outcome op_fxsave(struct vcpu *v, const struct insn *in)
{
    struct xstate_image m;
    u64 la;
    TRY(fx_begin(v, in, ACCESS_WRITE, &la));
    TRY(mem_probe(v, la, XSTATE_LEGACY_SIZE, ACCESS_WRITE));
    host_fxsave(&m);
    x87_to_guest(v, in, m.b);
    put32(m.b + FXSAVE_MXCSR_MASK, v->vm->features->mxcsr_mask);
    return mem_write(v, la, m.b, FXSAVE_XMM + fx_xmm(v), ACCESS_WRITE);
}

enum outcome op_fxrstor(struct vcpu *v, const struct insn *in)
{
    struct xstate_image m, new;
    u64 la;
    TRY(fx_begin(v, in, ACCESS_READ, &la));
    TRY(mem_read(v, la, new.b, XSTATE_LEGACY_SIZE, ACCESS_READ));
    if ((v->cr4 & CR4_OSFXSR) && (get32(new.b + FXSAVE_MXCSR) & ~v->vm->features->mxcsr_mask))
        return raise_gp(v, 0);
    host_fxsave(&m);
    x87_from_guest(in, new.b);
    __builtin_memcpy(m.b, new.b, X87_CONTROL);
    if (v->cr4 & CR4_OSFXSR)
        __builtin_memcpy(m.b + FXSAVE_MXCSR, new.b + FXSAVE_MXCSR, 4);
    copy_bytes(m.b + FXSAVE_ST, new.b + FXSAVE_ST, FXSAVE_ST_SIZE + fx_xmm(v));
    x87_loaded(v, m.b);
    __asm__ volatile("fxrstor64 %0" : : "m"(m) : "memory");
    return CPU_OK;
}

/* -- XSAVE, XSAVEOPT, XSAVEC, XSAVES -- */

/* Legality, privilege, and the requested-feature bitmap. */
static enum outcome xsave_begin(struct vcpu *v, enum feature feature, bool supervisor, u64 *rfbm)
{
    if (!cpu_has(v->vm, feature) || !(v->cr4 & CR4_OSXSAVE))
        return raise_ud(v);
    *rfbm = (v->gpr[RDX] << 32 | (u32)v->gpr[RAX]) & (supervisor ? v->xcr0 | v->xss : v->xcr0);
    if (supervisor && v->cpl)
        return raise_gp(v, 0);
    return v->cr0 & CR0_TS ? raise_nm(v) : CPU_OK;
}

static enum outcome xsave_area(struct vcpu *v, const struct insn *in, u32 size, enum access access, u64 *la)
{
    TRY(seg_linear(v, in->seg, insn_offset(v, in), size, access, la));
    return *la & 63 ? raise_gp(v, 0) : CPU_OK;
}

/* Writes the components in `mask`; `layout` is XCOMP_BV, or 0 for the standard format. */
static enum outcome write_components(struct vcpu *v, u64 la, const struct xstate_image *m, u64 mask, u64 layout)
{
    const struct xstate_component *c = v->vm->features->xstate;
    if (mask & XCR0_X87) {
        TRY(mem_write(v, la, m->b, X87_CONTROL, ACCESS_WRITE));
        TRY(mem_write(v, la + FXSAVE_ST, m->b + FXSAVE_ST, FXSAVE_ST_SIZE, ACCESS_WRITE));
    }
    for (unsigned i = 1; i < XSTATE_COMPONENTS; i++) {
        u32 size = reach(v, i);
        if (!(mask & BIT64(i)) || !size)
            continue;
        u32 at = layout && i > 1 ? xstate_compact_offset(c, layout, i) : c[i].offset;
        TRY(mem_write(v, la + at, m->b + c[i].offset, size, ACCESS_WRITE));
    }
    return CPU_OK;
}

static enum outcome save_standard(struct vcpu *v, const struct insn *in, u64 rfbm, bool only_in_use)
{
    struct xstate_image m;
    u64 la, old;
    u32 size = xstate_size(v->vm->features->xstate, rfbm, false);
    TRY(xsave_area(v, in, size, ACCESS_WRITE, &la));
    TRY(mem_probe(v, la, size, ACCESS_WRITE));
    TRY(mem_read(v, la + XSTATE_BV, &old, 8, ACCESS_READ));
    u64 in_use = save_all(v, &m, rfbm);
    if (rfbm & XCR0_X87)
        x87_to_guest(v, in, m.b);
    TRY(write_components(v, la, &m, only_in_use ? rfbm & in_use : rfbm, 0));
    if (rfbm & (XCR0_SSE | XCR0_AVX)) {
        u32 control[2] = {host_mxcsr(), v->vm->features->mxcsr_mask};
        TRY(mem_write(v, la + FXSAVE_MXCSR, control, 8, ACCESS_WRITE));
    }
    old = (old & ~rfbm) | (in_use & rfbm);
    return mem_write(v, la + XSTATE_BV, &old, 8, ACCESS_WRITE);
}

static enum outcome save_compacted(struct vcpu *v, const struct insn *in, u64 rfbm)
{
    struct xstate_image m;
    u64 la;
    u32 size = xstate_size(v->vm->features->xstate, rfbm, true);
    TRY(xsave_area(v, in, size, ACCESS_WRITE, &la));
    TRY(mem_probe(v, la, size, ACCESS_WRITE));
    u64 in_use = save_all(v, &m, rfbm);
    u32 control[2] = {host_mxcsr(), v->vm->features->mxcsr_mask};
    if ((rfbm & XCR0_SSE) && control[0] != MXCSR_RESET)
        in_use |= XCR0_SSE;
    if (rfbm & XCR0_X87)
        x87_to_guest(v, in, m.b);
    TRY(write_components(v, la, &m, in_use, rfbm | XCOMP_COMPACTED));
    if (in_use & XCR0_SSE)
        TRY(mem_write(v, la + FXSAVE_MXCSR, control, 8, ACCESS_WRITE));
    u64 header[2] = {in_use, rfbm | XCOMP_COMPACTED};
    return mem_write(v, la + XSTATE_BV, header, 16, ACCESS_WRITE);
}

enum outcome op_xsave(struct vcpu *v, const struct insn *in)
{
    u64 rfbm;
    TRY(xsave_begin(v, FEATURE_XSAVE, false, &rfbm));
    return save_standard(v, in, rfbm, false);
}

enum outcome op_xsaveopt(struct vcpu *v, const struct insn *in)
{
    u64 rfbm;
    TRY(xsave_begin(v, FEATURE_XSAVEOPT, false, &rfbm));
    return save_standard(v, in, rfbm, true);
}

enum outcome op_xsavec(struct vcpu *v, const struct insn *in)
{
    u64 rfbm;
    TRY(xsave_begin(v, FEATURE_XSAVEC, false, &rfbm));
    return save_compacted(v, in, rfbm);
}

enum outcome op_xsaves(struct vcpu *v, const struct insn *in)
{
    u64 rfbm;
    TRY(xsave_begin(v, FEATURE_XSAVES, true, &rfbm));
    TRY(nested_check(v, IC_XSAVES, rfbm, 0));
    return save_compacted(v, in, rfbm);
}

/* -- XRSTOR and XRSTORS -- */

/* "Standard Form of XRSTOR", "Compacted Form of XRSTOR": which headers are #GP(0). */
static bool header_valid(const struct vcpu *v, const u64 header[8], u64 supported, bool must_compact)
{
    u64 bv = header[0], xcomp = header[1];
    if (!(xcomp & XCOMP_COMPACTED))
        return !must_compact && !(bv & ~v->xcr0) && !xcomp && !header[2];
    if (!cpu_has(v->vm, FEATURE_XSAVEC) || (xcomp & ~XCOMP_COMPACTED & ~supported) || (bv & ~xcomp))
        return false;
    for (unsigned i = 2; i < 8; i++)
        if (header[i])
            return false;
    return true;
}

/* Completes the host's image with the registers that the mode cannot reach, or that keep their value. */
static u64 merge_unreachable(struct vcpu *v, struct xstate_image *m, u64 rfbm)
{
    const struct xstate_component *c = v->vm->features->xstate;
    struct xstate_image now;
    u64 partial = rfbm & (XCR0_SSE | XCR0_AVX | XCR0_ZMM_HI256 | XCR0_HI16_ZMM);
    host_xsave(&now, partial);
    for (unsigned i = 1; i < XSTATE_COMPONENTS; i++)
        if (partial & BIT64(i))
            copy_bytes(m->b + c[i].offset + reach(v, i), now.b + c[i].offset + reach(v, i), c[i].size - reach(v, i));
    return partial;
}

static enum outcome restore(struct vcpu *v, const struct insn *in, u64 rfbm, bool supervisor)
{
    const struct xstate_component *c = v->vm->features->xstate;
    struct xstate_image m;
    u64 la, header[8];
    TRY(xsave_area(v, in, XSTATE_LEGACY_SIZE + XSTATE_HEADER_SIZE, ACCESS_READ, &la));
    TRY(mem_read(v, la + XSTATE_BV, header, sizeof(header), ACCESS_READ));
    if (!header_valid(v, header, supervisor ? v->xcr0 | v->xss : v->xcr0, supervisor))
        return raise_gp(v, 0);
    bool compacted = header[1] & XCOMP_COMPACTED;
    u64 load = rfbm & header[0];
    u64 layout = compacted ? header[1] : 0;
    u32 size = xstate_size(c, layout ? layout & ~XCOMP_COMPACTED : load, compacted);
    TRY(seg_linear(v, in->seg, insn_offset(v, in), size, ACCESS_READ, &la));

    fill_bytes(&m, 0, sizeof(m));
    if (load & XCR0_X87) {
        TRY(mem_read(v, la, m.b, X87_CONTROL, ACCESS_READ));
        TRY(mem_read(v, la + FXSAVE_ST, m.b + FXSAVE_ST, FXSAVE_ST_SIZE, ACCESS_READ));
        x87_from_guest(in, m.b);
    }
    u32 mxcsr = host_mxcsr();
    if (compacted ? load & XCR0_SSE : rfbm & (XCR0_SSE | XCR0_AVX)) {
        TRY(mem_read(v, la + FXSAVE_MXCSR, &mxcsr, 4, ACCESS_READ));
        if (mxcsr & ~v->vm->features->mxcsr_mask)
            return raise_gp(v, 0);
    } else if (rfbm & XCR0_SSE) {
        mxcsr = MXCSR_RESET;
    }
    put32(m.b + FXSAVE_MXCSR, mxcsr);
    for (unsigned i = 1; i < XSTATE_COMPONENTS; i++) {
        u32 part = reach(v, i);
        if (!(load & BIT64(i)) || !part)
            continue;
        u32 at = compacted && i > 1 ? xstate_compact_offset(c, layout, i) : c[i].offset;
        TRY(mem_read(v, la + at, m.b + c[i].offset, part, ACCESS_READ));
    }

    u64 present = load & HOST_COMPONENTS;
    if (!in_64bit(v))
        present |= merge_unreachable(v, &m, rfbm);
    put64(m.b + XSTATE_BV, present);
    host_xrstor(&m, rfbm & HOST_COMPONENTS);
    if (rfbm & XCR0_X87)
        x87_loaded(v, m.b);
    if (rfbm & XCR0_PKRU) {
        v->pkru = get32(m.b + c[XSTATE_PKRU].offset);
        mmu_select(v);
    }
    return CPU_OK;
}

enum outcome op_xrstor(struct vcpu *v, const struct insn *in)
{
    u64 rfbm;
    TRY(xsave_begin(v, FEATURE_XSAVE, false, &rfbm));
    return restore(v, in, rfbm, false);
}

enum outcome op_xrstors(struct vcpu *v, const struct insn *in)
{
    u64 rfbm;
    TRY(xsave_begin(v, FEATURE_XSAVES, true, &rfbm));
    TRY(nested_check(v, IC_XRSTORS, rfbm, 0));
    return restore(v, in, rfbm, true);
}
