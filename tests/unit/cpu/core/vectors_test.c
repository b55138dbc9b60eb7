/*
 * Where the guest's vector registers are: saved once by the first call out of the core, loaded once when they are
 * needed again, and what host code finds meanwhile.
 */
#include <string.h>

#include "cpu/core/insn.h"
#include "cpu/core/vectors.h"
#include "cpu/core/world.h"
#include "unit/test.h"
#include "x86/regs.h"
#include "x86/xsave.h"

#define GUEST_MXCSR (MXCSR_RESET | 0x8000) /* flush to zero */
#define GUEST_FCW 0x027f                   /* 53 bits of precision */
#define VALUE 0x1122334455667788ull

static struct vm vm;
static struct vcpu *v;
static unsigned live_in_device;

static u64 device_read(void *opaque, gpa_t gpa, unsigned size)
{
    live_in_device += v->vectors_live;
    return 0;
}

static u32 port_read(void *opaque, u16 port, unsigned size)
{
    live_in_device += v->vectors_live;
    return 0;
}

static const struct machine machine = {.mmio_read = device_read, .io_read = port_read};

/* What the guest has in its registers. */
static void guest_put(void)
{
    const u64 value = VALUE;
    const u32 mxcsr = GUEST_MXCSR;
    const u16 fcw = GUEST_FCW;
    vector_load(v);
    __asm__ volatile("movq %0, %%xmm5; ldmxcsr %1; fldcw %2" : : "m"(value), "m"(mxcsr), "m"(fcw) : "xmm5");
}

static bool guest_has(u64 value, u32 mxcsr, u16 fcw)
{
    u64 xmm5;
    u32 m;
    u16 c;
    __asm__ volatile("movq %%xmm5, %0; stmxcsr %1; fnstcw %2" : "=m"(xmm5), "=m"(m), "=m"(c));
    return xmm5 == value && m == mxcsr && c == fcw;
}

static void host_uses(void)
{
    __asm__ volatile("pxor %%xmm5, %%xmm5" : : : "xmm5");
}

static void registers(void)
{
    static struct vcpu memory;
    v = &memory;
    vector_init(v);
    v->vm = &vm;
    vm.machine = &machine;
    TEST("after reset the vector registers are in memory");
    CHECK(!v->vectors_live);
    TEST("when they are loaded, they are as after reset");
    vector_load(v);
    bool same = guest_has(0, MXCSR_RESET, FCW_RESET);
    vector_save(v);
    CHECK(same);
    CHECK(!v->vectors_live);

    TEST("when they are saved, host code has a clean state, and the guest's is in memory");
    guest_put();
    vector_save(v);
    host_uses();
    same = guest_has(0, MXCSR_RESET, FCW_INIT);
    CHECK(same);
    CHECK(!memcmp(v->vectors + FXSAVE_MXCSR, &(u32){GUEST_MXCSR}, 4) && !memcmp(v->vectors, &(u16){GUEST_FCW}, 2));
    TEST("when they are saved again, nothing happens");
    vector_save(v);
    vector_load(v);
    same = guest_has(VALUE, GUEST_MXCSR, GUEST_FCW);
    vector_save(v);
    CHECK(same);

    TEST("when they are loaded again, nothing happens");
    guest_put();
    const u64 other = ~VALUE;
    __asm__ volatile("movq %0, %%xmm5" : : "m"(other) : "xmm5");
    vector_load(v);
    same = guest_has(~VALUE, GUEST_MXCSR, GUEST_FCW);
    vector_save(v);
    CHECK(same);
}

static void devices(void)
{
    const struct insn in = {0};
    TEST("after an access to a port they stay in memory");
    guest_put();
    world_io_read(v, 0x80, 1);
    CHECK(!v->vectors_live);
    TEST("so they do when a copied instruction accesses device memory");
    guest_put();
    world_mmio_read(v, GPA(0), 4);
    CHECK(!v->vectors_live);
    TEST("a called instruction may go on with them after its access to device memory");
    v->insn = &in;
    guest_put();
    world_mmio_read(v, GPA(0), 4);
    bool same = guest_has(VALUE, GUEST_MXCSR, GUEST_FCW), live = v->vectors_live;
    vector_save(v);
    CHECK(same && live);
    CHECK_EQ(live_in_device, 0);
}

int main(void)
{
    registers();
    devices();
    return TEST_END();
}
