/*
 * Handlers of called instructions, by the file that defines them. Type insn_fn; see insn.h.
 */
#ifndef CPU_INSN_OPS_H
#define CPU_INSN_OPS_H

#include "cpu/core/insn.h"
#include "cpu/mmu/segment.h"

/* clang-format off */
#define OPS(X)                                                                                     \
    /* far.c: far transfers, interrupts, system calls */                                           \
    X(jmp_far) X(call_far) X(ret_far) X(iret) X(int_n) X(int3) X(into) X(int1)                     \
    X(syscall) X(sysret) X(sysenter) X(sysexit)                                                    \
    /* segops.c: segment registers and descriptor tables */                                        \
    X(mov_to_sreg) X(mov_from_sreg) X(push_sreg) X(pop_sreg) X(load_far_pointer)                   \
    X(lgdt) X(lidt) X(sgdt) X(sidt) X(lldt) X(ltr) X(sldt) X(str)                                  \
    X(lar) X(lsl) X(verr) X(verw) X(arpl) X(swapgs)                                                \
    X(rdfsbase) X(rdgsbase) X(wrfsbase) X(wrgsbase)                                                \
    /* controlops.c: control and debug registers, TLB management */                                     \
    X(mov_to_cr) X(mov_from_cr) X(mov_to_dr) X(mov_from_dr) X(clts) X(lmsw) X(smsw)                \
    X(invlpg) X(invpcid) X(invd) X(wbinvd)                                                         \
    /* flagops.c: flags that translated code does not hold */                                      \
    X(cli) X(sti) X(clac) X(stac) X(pushf) X(popf) X(cld) X(std)                                   \
    /* sysops.c: the rest of the system instructions */                                            \
    X(hlt) X(cpuid) X(rdmsr) X(wrmsr) X(rdtsc) X(rdtscp) X(rdpmc) X(rdpid) X(pause)                \
    X(monitor) X(mwait) X(xgetbv) X(xsetbv) X(rdpkru) X(wrpkru) X(rsm) X(getsec) X(ud)             \
    X(rdrand) X(rdseed)                                                                            \
    /* xstate.c: x87/SSE/AVX state as memory images */                                             \
    X(fxsave) X(fxrstor) X(xsave) X(xsaveopt) X(xsavec) X(xsaves) X(xrstor) X(xrstors)             \
    X(fnsave) X(frstor) X(fnstenv) X(fldenv)                                                       \
    /* portio.c and string.c */                                                                    \
    X(in) X(out) X(ins) X(outs) X(movs) X(stos) X(lods) X(scas) X(cmps)                            \
    /* legacy.c: what 64-bit mode lacks, and rare integer instructions */                          \
    X(aaa) X(aas) X(aam) X(aad) X(daa) X(das) X(pusha) X(popa) X(bound) X(enter) X(leave)          \
    X(salc) X(pop_rm) X(push_rm) X(call_rm) X(jmp_rm)                                              \
    /* vector.c: memory forms whose faults depend on masks or indices */                           \
    X(maskmov) X(gather) X(scatter)                                                                \
    /* unusable.c: in place of what must not be executed now */                                    \
    X(x87_unusable) X(mmx_unusable) X(sse_unusable) X(avx_unusable) X(avx512_unusable) X(too_long) \
    /* vmx/ */                                                                                     \
    X(vmxon) X(vmxoff) X(vmclear) X(vmptrld) X(vmptrst) X(vmread) X(vmwrite) X(vmlaunch)           \
    X(vmresume) X(vmcall) X(invept) X(invvpid) X(vmfunc)                                           \
    /* svm/ */                                                                                     \
    X(vmrun) X(vmmcall) X(vmload) X(vmsave) X(stgi) X(clgi) X(skinit) X(invlpga)

/* clang-format on */

#define OP_DECLARE(name) enum outcome op_##name(struct vcpu *v, const struct insn *in);
OPS(OP_DECLARE)
#undef OP_DECLARE

#endif
