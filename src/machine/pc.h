/*
 * The PC: creates the accelerator's VM, guest memory and the devices, and starts a kernel on them. Its owner runs the
 * vCPUs: one thread each in accel_ops.run.
 */
#ifndef MACHINE_PC_H
#define MACHINE_PC_H

#include "accel/accel.h"
#include "machine/boot/boot.h"
#include "machine/layout.h"

#define PC_VCPUS_MAX 256u
#define PC_SERIALS SERIALS_MAX

struct pc;

struct pc_config {
    const struct accel_ops *accel;
    const struct run_settings *settings;
};

/* What the guest makes the machine do. Called from vCPU and timer threads with the machine lock held: whoever is called
 * only takes note, and acts (stops vCPUs, resets) elsewhere. */
struct pc_events {
    void (*reset)(void *opaque);
    void (*power_off)(void *opaque);
    void (*debug_exit)(void *opaque, u32 value);
    /* Takes a byte from serial port `index`. False: there is no room now; pc_serial_ready is to follow. */
    bool (*serial_out)(void *opaque, u32 index, u8 byte);
    void (*serial_room)(void *opaque, u32 index); /* the guest can take input again */
    void *opaque;
};

/* Returns 0 or -errno. The vCPUs cannot run before pc_start. The settings stay until pc_destroy. */
int MUST_CHECK pc_create(struct pc **pc, const struct pc_config *config, const struct pc_events *events,
                         struct error *error);
/* Called when all vCPU threads have ended. */
void pc_destroy(struct pc *pc);

/* Powers on, or resets: puts devices into their reset state, tables and kernel into memory, and vCPUs at the kernel's
 * entry. All vCPUs are stopped; the caller goes on with accel->resume. */
int MUST_CHECK pc_start(struct pc *pc, struct boot *boot, struct error *error);
/* VM time stands still between pc_pause(true) and pc_pause(false). pc_start ends a pause. */
void pc_pause(struct pc *pc, bool pause);

struct accel_vm *pc_vm(struct pc *pc);
/* Input for serial port `index`: takes what the guest has room for and returns the number of bytes taken. */
unsigned pc_serial_in(struct pc *pc, u32 index, const u8 *bytes, unsigned count);
/* There is room for its output again. */
void pc_serial_ready(struct pc *pc, u32 index);
/* A BREAK comes in. */
void pc_serial_break(struct pc *pc, u32 index);
/* The user presses the power button, or the one that sends an NMI. */
void pc_power_button(struct pc *pc);
void pc_nmi(struct pc *pc);
/* Accesses to devices so far. */
u64 pc_accesses(struct pc *pc);
/* [signal handler] Is `host` an address in guest RAM? *gpa gets the guest's. */
bool pc_ram_at(const struct pc *pc, const void *host, u64 *gpa);
/* Lines for --stats: accesses that no device claimed. */
void pc_stats(struct pc *pc, char *buf, size_t size);

#endif
