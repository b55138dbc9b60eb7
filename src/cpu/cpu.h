/*
 * The engine's public face: create a VM's CPUs, run one on the calling thread, reach its state.
 * Called by accel/engine.c only.
 */
#ifndef CPU_CPU_H
#define CPU_CPU_H

#include "cpu/vcpu.h"

/* Resets to the state after RESET (SDM vol. 3A "Processor State After Reset"): real mode, CS:IP = F000:FFF0; APs wait
 * for SIPI. (reset.c) */
void cpu_reset(struct vcpu *v);
/* INIT: like reset, with what the manual says survives. (reset.c) */
void cpu_init_signal(struct vcpu *v);

/* Runs until something needs the accelerator. On the vCPU's own thread. (exec.c) */
enum cpu_exit cpu_run(struct vcpu *v);

#endif
