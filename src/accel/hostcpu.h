/*
 * The host's CPU: what `doctor` shows, and whether the engine can run on it.
 */
#ifndef ACCEL_HOSTCPU_H
#define ACCEL_HOSTCPU_H

#include "base/error.h"

struct hostcpu {
    char vendor[13], brand[49];
    bool vmx, svm;                                 /* the CPU itself nests */
    bool amd;                                      /* AMD's vendor text */
    bool hypervisor;                               /* the host is a VM */
    bool bmi2, fsgsbase;                           /* what the engine needs; fsgsbase: the kernel allows it, too */
    bool avx, avx2, avx512, rdrand, invariant_tsc; /* what guests gain */
    u32 address_bits;                              /* of physical addresses */
    bool slow_pext;                                /* PEXT is microcode: AMD before family 19h */
};

void hostcpu_read(struct hostcpu *cpu);
/* False: the error says what is missing and what to do. */
bool hostcpu_suits_engine(const struct hostcpu *cpu, struct error *error);

#endif
