/*
 * FERR# and IGNNE#, how a PC reports x87 errors while CR0.NE is 0. FERR# rises when a waiting instruction meets a
 * pending error. It falls when the error is gone or CR0.NE is 1, which is seen after each instruction as long as it is
 * high; those are a handler's few, so they are stepped (vcpu.ferr, mode.c).
 *
 * With IGNNE# the instruction runs all the same. The host's processor would fault at it, so it runs under a control
 * word that masks everything. Bit 12, which processors keep and ignore, marks that word: an instruction that loads
 * another one keeps what it loaded.
 * Source: SDM volume 1, "MS-DOS Compatibility Sub-mode" and "Deferred error reporting" of the appendix on x87 exception
 * handlers; APM volume 2, "FERR_FREEZE".
 */
#include "cpu/event/ferr.h"

#include "cpu/core/fault.h"
#include "cpu/core/nested.h"
#include "cpu/core/world.h"
#include "cpu/mmu/mode.h"
#include "x86/xsave.h"

#define CONTROL_MASKS 0x3fu
#define CONTROL_MARK BIT(12)

/* By FXRSTOR, which is no waiting instruction. Data registers stay. */
static void x87_control(u16 control)
{
    u8 image[512] __attribute__((aligned(16)));
    u16 status;
    __asm__ volatile("fxsave64 %0" : "=m"(image));
    __builtin_memcpy(image, &control, sizeof(control));
    __builtin_memcpy(&status, image + 2, sizeof(status));
    status &= (u16) ~(FSW_ES | FSW_B);
    if (status & FSW_ERRORS & ~control)
        status |= FSW_ES | FSW_B;
    __builtin_memcpy(image + 2, &status, sizeof(status));
    __asm__ volatile("fxrstor64 %0" : : "m"(image));
}

static u16 x87_control_read(void)
{
    u16 control;
    __asm__ volatile("fnstcw %0" : "=m"(control));
    return control;
}

static void drive(struct vcpu *v, bool level)
{
    if (v->ferr == level)
        return;
    v->ferr = level;
    mode_update(v);
    world_ferr(v, level);
}

bool ferr_instead(const struct vcpu *v, const struct event *e)
{
    return e->vector == EXC_MF && e->type == EVENT_EXCEPTION && !(v->cr0 & CR0_NE);
}

enum outcome ferr_raise(struct vcpu *v)
{
    drive(v, true);
    if (__atomic_load_n(&v->ignne, __ATOMIC_SEQ_CST)) {
        v->ferr_ignored = true;
        return CPU_OK;
    }
    TRY(nested_check(v, IC_FERR, 0, 0));
    v->activity = ACTIVITY_FERR;
    return CPU_OK;
}

void ferr_step_begin(struct vcpu *v)
{
    if (!v->ferr_ignored)
        return;
    vector_load(v);
    v->ferr_control = x87_control_read();
    x87_control((u16)((v->ferr_control | CONTROL_MASKS) ^ CONTROL_MARK));
}

void ferr_step_end(struct vcpu *v)
{
    vector_load(v);
    if (v->ferr_ignored) {
        v->ferr_ignored = false;
        if (x87_control_read() == (u16)((v->ferr_control | CONTROL_MASKS) ^ CONTROL_MARK))
            x87_control(v->ferr_control);
    }
    if (!(x87_status() & FSW_ES) || v->cr0 & CR0_NE)
        drive(v, false);
}

void ferr_reset(struct vcpu *v)
{
    v->ferr = v->ferr_ignored = false;
    v->ignne = 0;
}

void ferr_ignne(struct vm *vm, bool level)
{
    for (u32 i = 0; i < vm->vcpu_count; i++) {
        __atomic_store_n(&vm->vcpu[i]->ignne, level, __ATOMIC_SEQ_CST);
        request_set(vm->vcpu[i], REQ_EVENT);
    }
}
