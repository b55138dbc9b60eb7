/*
 * The handlers of called instructions, by the file that defines them. core/insn.h says what a handler finds and does;
 * the instruction table (jit/insn_table.c) says which instructions it serves.
 */
#ifndef CPU_INSN_OPS_H
#define CPU_INSN_OPS_H

#include "cpu/core/insn.h"
#include "cpu/mmu/segment.h"

/* clang-format off */
#define OPS(X)                                                                                      \
    /* far.c: JMP, CALL and RET to other code segments */                                           \
    X(jmp_far) X(call_far) X(ret_far)                                                               \
    /* iret.c */                                                                                    \
    X(iret)                                                                                         \
    /* softint.c: events that an instruction asks for */                                            \
    X(int_n) X(int3) X(into) X(int1)                                                                \
    /* syscall.c: fast system calls */                                                              \
    X(syscall) X(sysret) X(sysenter) X(sysexit)                                                     \
    /* segops.c: segment registers, descriptor tables, descriptors */                               \
    X(mov_to_sreg) X(mov_from_sreg) X(push_sreg) X(pop_sreg) X(load_far_pointer)                    \
    X(lgdt) X(lidt) X(sgdt) X(sidt) X(lldt) X(ltr) X(sldt) X(str) X(lar) X(lsl) X(verr) X(verw) X(arpl)\
    X(swapgs) X(rdfsbase) X(rdgsbase) X(wrfsbase) X(wrgsbase)                                       \
    /* controlops.c: control and debug registers, TLBs and caches */                                \
    X(mov_to_cr) X(mov_from_cr) X(mov_to_dr) X(mov_from_dr) X(clts) X(lmsw) X(smsw)                 \
    X(invlpg) X(invpcid) X(invd) X(wbinvd)                                                          \
    /* flagops.c: flags that translated code does not hold */                                       \
    X(cli) X(sti) X(clac) X(stac) X(cld) X(std) X(pushf) X(popf)                                    \
    /* msr.c and rsm.c */                                                                           \
    X(rdmsr) X(wrmsr) X(rsm)                                                                        \
    /* sysops.c: system instructions that need little more than their checks */                     \
    X(hlt) X(pause) X(monitor) X(mwait) X(rdtsc) X(rdtscp) X(rdpmc) X(rdpid) X(cpuid)               \
    X(xgetbv) X(xsetbv) X(rdpkru) X(wrpkru) X(rdrand) X(rdseed) X(getsec) X(ud)              \
    /* xstate.c and x87.c: x87, SSE and AVX state in memory */                                      \
    X(fxsave) X(fxrstor) X(xsave) X(xsaveopt) X(xsavec) X(xsaves) X(xrstor) X(xrstors)              \
    X(fnsave) X(frstor) X(fnstenv) X(fldenv)                                                        \
    /* string.c and portio.c */                                                                     \
    X(movs) X(stos) X(lods) X(scas) X(cmps) X(in) X(out) X(ins) X(outs)                             \
    /* legacy.c: what 64-bit mode lacks, and rare integer instructions */                           \
    X(aaa) X(aas) X(aam) X(aad) X(daa) X(das) X(salc) X(pusha) X(popa) X(bound) X(enter) X(leave)   \
    X(push_rm) X(pop_rm) X(call_rm) X(jmp_rm)                                                       \
    /* vector.c: memory forms whose accesses depend on registers */                                 \
    X(maskmov) X(gather) X(scatter)                                                                 \
    /* unusable.c: in place of what must not be executed now */                                     \
    X(x87_unusable) X(mmx_unusable) X(sse_unusable) X(avx_unusable) X(avx512_unusable)              \
    X(too_long)                                                                                     \
    /* vmx/insn.c */                                                                                \
    X(vmxon) X(vmxoff) X(vmclear) X(vmptrld) X(vmptrst) X(vmread) X(vmwrite)                        \
    X(vmlaunch) X(vmresume) X(vmcall) X(invept) X(invvpid) X(vmfunc)                                \
    /* svm/insn.c and svm/vmrun.c */                                                                \
    X(vmmcall) X(vmload) X(vmsave) X(stgi) X(clgi) X(skinit) X(invlpga) X(vmrun)
/* clang-format on */

#define OP_DECLARE(name) enum outcome op_##name(struct vcpu *v, const struct insn *in);
OPS(OP_DECLARE)
#undef OP_DECLARE

#endif
