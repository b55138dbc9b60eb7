/*
 * The engine's public face: create a VM's CPUs, run one on the calling thread, reach its state.
 * Called by accel/engine.c only.
 */
#ifndef CPU_CPU_H
#define CPU_CPU_H

#include "cpu/core/upcalls.h"
#include "cpu/core/vcpu.h"

/* Resets to the state after RESET (SDM vol. 3A "Processor State After Reset"): real mode, CS:IP = F000:FFF0; APs wait
 * for SIPI. (cpu.c) */
void cpu_reset(struct vcpu *v);

/* For vm.upcalls. */
extern const struct upcalls cpu_upcalls;

/* Runs until something needs the accelerator. On the vCPU's own thread. (cpu.c) */
enum cpu_exit cpu_run(struct vcpu *v);

#endif
