/*
 * Raising guest exceptions. Each raise_ function fills vcpu.fault and returns CPU_FAULT, so that a handler writes
 * `return raise_gp(v, 0);`. Delivery is exception.c's business.
 */
#ifndef CPU_CORE_FAULT_H
#define CPU_CORE_FAULT_H

#include "cpu/core/vcpu.h"

static inline enum outcome raise_event(struct vcpu *v, u8 vector, bool has_error, u32 error, u64 payload)
{
    v->fault = (struct event){.valid = true,
                              .has_error = has_error,
                              .vector = vector,
                              .type = EVENT_EXCEPTION,
                              .error = error,
                              .payload = payload};
    return CPU_FAULT;
}

/* clang-format off */
static inline enum outcome raise_ud(struct vcpu *v) { return raise_event(v, EXC_UD, false, 0, 0); }
static inline enum outcome raise_de(struct vcpu *v) { return raise_event(v, EXC_DE, false, 0, 0); }
static inline enum outcome raise_nm(struct vcpu *v) { return raise_event(v, EXC_NM, false, 0, 0); }
static inline enum outcome raise_gp(struct vcpu *v, u32 error) { return raise_event(v, EXC_GP, true, error, 0); }
static inline enum outcome raise_ss(struct vcpu *v, u32 error) { return raise_event(v, EXC_SS, true, error, 0); }
static inline enum outcome raise_np(struct vcpu *v, u32 error) { return raise_event(v, EXC_NP, true, error, 0); }
static inline enum outcome raise_ts(struct vcpu *v, u32 error) { return raise_event(v, EXC_TS, true, error, 0); }
static inline enum outcome raise_ac(struct vcpu *v) { return raise_event(v, EXC_AC, true, 0, 0); }
/* clang-format on */
static inline enum outcome raise_pf(struct vcpu *v, u64 la, u32 error)
{
    return raise_event(v, EXC_PF, true, error, la);
}
static inline enum outcome raise_db(struct vcpu *v, u64 dr6_bits)
{
    return raise_event(v, EXC_DB, false, 0, dr6_bits);
}

/* Propagates anything but CPU_OK. */
#define TRY(expr)                                                                                                      \
    do {                                                                                                               \
        enum outcome try_ = (expr);                                                                                    \
        if (try_ != CPU_OK)                                                                                            \
            return try_;                                                                                               \
    } while (0)

#endif
