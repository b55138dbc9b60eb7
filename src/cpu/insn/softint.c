/*
 * INT n, INT3, INTO and INT1: events that an instruction asks for. event/exception.c delivers them, and asks L1 about
 * those that are exceptions.
 *
 * Source: SDM vol. 2 "INT n/INTO/INT3/INT1"; APM vol. 2 "Instruction Intercepts".
 */
#include "cpu/core/nested.h"
#include "cpu/event/debug.h"
#include "cpu/event/exception.h"
#include "cpu/insn/ops.h"

enum outcome op_int_n(struct vcpu *v, const struct insn *in)
{
    u8 vector = (u8)in->imm;
    TRY(nested_check(v, IC_INTN, vector, 0));
    return soft_interrupt(v, vector, EVENT_SOFT_INT);
}

enum outcome op_int3(struct vcpu *v, const struct insn *in)
{
    if (unlikely(v->debug.on & CPU_DEBUG_INT3))
        return debug_leave(v, EXC_BP, 0);
    return soft_interrupt(v, EXC_BP, EVENT_SOFT_EXC);
}

enum outcome op_into(struct vcpu *v, const struct insn *in)
{
    return rflags_get(v) & FLAG_OF ? soft_interrupt(v, EXC_OF, EVENT_SOFT_EXC) : CPU_OK;
}

enum outcome op_int1(struct vcpu *v, const struct insn *in)
{
    TRY(nested_check(v, IC_ICEBP, 0, 0));
    return soft_interrupt(v, EXC_DB, EVENT_PRIV_SOFT);
}
