/*
 * The border between C and translated code, both ways: what enter.S defines, and what it calls. The functions that it
 * calls run on the C stack with the guest's registers in the vCPU, and return true to go on in translated code at
 * v->resume, false to return from exec_enter.
 */
#ifndef CPU_JIT_ENTER_H
#define CPU_JIT_ENTER_H

#include "cpu/core/insn.h"
#include "cpu/core/vcpu.h"

struct exit_link;

/* Runs translated code from v->resume on until something leaves. */
void exec_enter(struct vcpu *v);

/* Translated code CALLs the thunks and JMPs to the ways out, through their addresses in the vCPU. */
extern const u8 exec_thunk_slow_mem[], exec_thunk_slow_done[], exec_thunk_slow_segment[], exec_thunk_call[],
    exec_thunk_check_missed[], exec_thunk_jump_missed[], exec_thunk_back_missed[];
extern const u8 exec_leave_lookup[], exec_leave_chain[], exec_leave_request[], exec_leave_signal[], exec_leave_string[];

/* slow.c; `after` is behind the CALL, where the site is. */
bool exec_slow_mem(struct vcpu *v, const u8 *after, u64 la);
/* `after` is in the block, behind the CALL of a shared check. */
bool exec_check_missed(struct vcpu *v, const u8 *after, u64 la);
bool exec_slow_done(struct vcpu *v, const u8 *after, u64 la);
bool exec_slow_segment(struct vcpu *v, const u8 *after, u64 offset);

/* dispatch.c */
/* The struct insn is that many bytes from the start of the cache's data. */
bool exec_call(struct vcpu *v, const u8 *after, u64 insn);
/* `after` is behind the CALL of a shared jump, or of a shared look at requests. */
bool exec_back_missed(struct vcpu *v, const u8 *after, u64 r11);
bool exec_jump_missed(struct vcpu *v, const u8 *after, u64 la);
bool exec_lookup(struct vcpu *v, u64 rcx, u64 la);
bool exec_chain(struct vcpu *v, struct exit_link *link, u64 r11);
bool exec_request(struct vcpu *v, u64 offset, u64 r11);

/* Goes on at a linear address in a MODE_PLAIN block. */
bool exec_go_on(struct vcpu *v, u64 la);

/* signal.c */
bool exec_signal_left(struct vcpu *v, u64 rcx, u64 r11);

#endif
