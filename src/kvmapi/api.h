/*
 * The KVM API on the engine: its objects, and the tables of what it answers. One row per ioctl and one per capability;
 * whatever has no row is not offered. Each file has the rows of its own subject, and tables.c lists the files.
 *
 * A handler runs on the thread of the program that called ioctl: those of a vCPU with vcpu.mutex held, those of a VM
 * with vm.lock held unless the row says otherwise. Results are 0 or more, or -errno, as the kernel would return them.
 * The environment that the library reads is in settings.h.
 */
#ifndef KVMAPI_API_H
#define KVMAPI_API_H

#include "bus/machine.h"
#include "cpu/cpu.h"
#include "ram/ram.h"

#include "kvmapi/host.h"
#include "kvmapi/queue.h"

#include <linux/kvm.h>
#include <pthread.h>

#define API_VCPUS_MAX CPU_VCPUS_MAX

/* -- what the mapping of a vCPU holds, by pages -- */

#define API_PAGE_RUN 0
#define API_PAGE_PIO KVM_PIO_PAGE_OFFSET
#define API_PAGE_COALESCED KVM_COALESCED_MMIO_PAGE_OFFSET
#define API_PAGE_RING KVM_DIRTY_LOG_PAGE_OFFSET
#define API_MMAP_SIZE (3 * PAGE_SIZE) /* KVM_GET_VCPU_MMAP_SIZE: all but the dirty ring */

struct api_file;
struct api_vm;
struct api_vcpu;
struct irqchip;       /* 8259s, I/O APIC, PIT */
struct irqfds;        /* eventfds that raise interrupts */
struct ioevents;      /* accesses that become eventfds */
struct coalesced;     /* accesses that wait in the ring */
struct hyperv_events; /* Hyper-V's events that are eventfds */
struct pv_vcpu;       /* paravirtual features */
struct cpu_model;     /* a VM's features as the program made them */
struct msr_filter;    /* which MSRs the program handles */

/* The last TSC that the program wrote to a vCPU: with that offset it was `value` when the host's was `host`. */
struct api_tsc {
    bool written;
    u64 value, host, offset, khz;
};

struct api_vm {
    struct api_file *file;
    u32 refs; /* [a] its descriptor's file, and each vCPU's */
    int pid;  /* of the process that made it */
    struct api_vm *next;
    pthread_mutex_t lock;
    struct machine machine;
    struct api_host *host;
    struct vm *cpus; /* NULL before the first vCPU: what comes before it decides what the CPUs are */
    struct api_vcpu *vcpu[API_VCPUS_MAX];
    u32 vcpu_count;               /* [a] */
    u64 caps[8];                  /* bit n: KVM_ENABLE_CAP of number n was done; for numbers below 512 */
    u32 dirty_protect;            /* KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2: its flags */
    u32 ring_entries;             /* of each vCPU's dirty ring; 0: none */
    struct cpu_features features; /* what is offered: the base of each vCPU's */

    /* of other files, made by their hooks (struct api_part) */
    struct irqchip *chips;
    struct irqfds *irqfds;
    struct ioevents *ioevents;
    struct coalesced *coalesced;
    struct hyperv_events *hyperv_events;
    struct msr_filter *msr_filter;
    u32 vcpu_ids; /* IDs of vCPUs are below this; 0: any */
    u32 mmu_pages;
    bool said_private; /* that direct execution is not possible in some memory */
    u32 msr_exits;     /* KVM_MSR_EXIT_REASON_*: accesses that the program wants to see */
    bool platform_info_hidden;
    struct api_tsc tsc;
    u32 tsc_khz; /* of new vCPUs; 0: the host's */
};

/* An access to an MSR that the program handles. */
enum api_msr_state { API_MSR_NONE, API_MSR_WAITS, API_MSR_ANSWERED };
struct api_msr_access {
    u32 state; /* enum api_msr_state */
    u32 index, reason;
    bool write, fails;
    u64 value;
};

struct api_vcpu {
    struct api_vm *vm;
    struct api_file *file;
    pthread_mutex_t mutex;
    u32 id, index; /* KVM's number of the vCPU, which is its APIC ID; and the engine's number */
    struct vcpu *cpu;
    struct cpu_features features;
    void *map; /* our mapping of the descriptor, with what the next four point at */
    struct kvm_run *run;
    u8 *pio;
    struct kvm_coalesced_mmio_ring *ring;
    struct ram_ring dirty_ring; /* if vm.ring_entries */
    struct api_msr_access msr;
    struct api_queue queue; /* accesses to devices of the program */
    bool has_sigmask;
    u64 sigmask;        /* KVM_SET_SIGNAL_MASK */
    bool stopped;       /* [a] a signal came: leave KVM_RUN */
    enum cpu_exit owed; /* why the vCPU left, besides an access that the program sees first */
    bool halted;        /* in HLT, without interrupt controllers here */
    u64 exits;          /* statistics */
    u32 tsc_khz;
    bool payloads; /* KVM_CAP_EXCEPTION_PAYLOAD */
    struct pv_vcpu *pv;
};

/* -- ioctls -- */

struct api_arg {
    u64 value;  /* as the program gave it: a number, or the address of the struct */
    void *data; /* a copy of the struct, if the request says that there is one: read before, written back after */
};

typedef long api_system_handler(struct api_arg *arg);
typedef long api_vm_handler(struct api_vm *vm, struct api_arg *arg);
typedef long api_vcpu_handler(struct api_vcpu *vcpu, struct api_arg *arg);

/* A row; tables end with one that has no name. One of the handlers is set. */
struct api_ioctl {
    unsigned long request;
    const char *name;
    api_system_handler *system;
    api_vm_handler *vm;
    api_vcpu_handler *vcpu;
    bool unlocked; /* of a VM: vm.lock is not taken */
    bool raw;      /* the address may be NULL: no struct is copied */
};
#define API_SYSTEM(request, handler)                                                                                   \
    {                                                                                                                  \
        request, #request, .system = handler                                                                           \
    }
#define API_VM(request, handler)                                                                                       \
    {                                                                                                                  \
        request, #request, .vm = handler                                                                               \
    }
#define API_VM_UNLOCKED(request, handler)                                                                              \
    {                                                                                                                  \
        request, #request, .vm = handler, .unlocked = true                                                             \
    }
#define API_VCPU(request, handler)                                                                                     \
    {                                                                                                                  \
        request, #request, .vcpu = handler                                                                             \
    }
#define API_VCPU_RAW(request, handler)                                                                                 \
    {                                                                                                                  \
        request, #request, .vcpu = handler, .raw = true                                                                \
    }

/* -- capabilities -- */

struct api_cap {
    u32 number;
    const char *name;
    int value; /* of KVM_CHECK_EXTENSION */
    /* Or computed; vm is NULL when /dev/kvm is asked. */
    int (*check)(struct api_vm *vm);
    /* KVM_ENABLE_CAP: NULL if there is nothing to enable. */
    long (*enable_vm)(struct api_vm *vm, const struct kvm_enable_cap *cap);
    long (*enable_vcpu)(struct api_vcpu *vcpu, const struct kvm_enable_cap *cap);
};
#define API_CAP(cap, ...)                                                                                              \
    {                                                                                                                  \
        cap, #cap, __VA_ARGS__                                                                                         \
    }

static inline bool api_enabled(const struct api_vm *vm, u32 cap)
{
    return vm->caps[cap / 64] >> (cap % 64) & 1;
}

/* -- parts: what a file contributes -- */

/*
 * Any member may be NULL. Creation returns 0 or -errno and undoes itself on failure; destruction is also called for
 * what was never made.
 */
struct api_part {
    const char *name;
    const struct api_ioctl *ioctls;
    const struct api_cap *caps;
    int (*vm_create)(struct api_vm *vm);
    void (*vm_destroy)(struct api_vm *vm);
    int (*vcpu_create)(struct api_vcpu *vcpu);
    void (*vcpu_destroy)(struct api_vcpu *vcpu);
    /*
     * Accesses of a vCPU to memory that is no RAM, and to ports, on its thread before they go to the program. Returns
     * true if the part has done the access. `data` has `size` bytes. Parts are asked in the order of tables.c.
     */
    bool (*mmio)(struct api_vcpu *vcpu, gpa_t gpa, void *data, unsigned size, bool write);
    bool (*pio)(struct api_vcpu *vcpu, u16 port, void *data, unsigned size, bool write);
    /* Called in KVM_RUN before the vCPU enters the guest, and after it left: to bring things into the vCPU, or out. */
    void (*enter)(struct api_vcpu *vcpu);
    void (*leave)(struct api_vcpu *vcpu);
};
extern const struct api_part *const api_parts[]; /* tables.c; NULL behind the last */
/* Those of them that have a hook of that name, from the first ioctl on. */
extern const struct api_part *api_mmio_parts[], *api_pio_parts[], *api_enter_parts[], *api_leave_parts[];

const struct api_cap *api_cap_find(u32 number);
/* KVM_CHECK_EXTENSION; vm is NULL when /dev/kvm is asked. */
int api_cap_value(struct api_vm *vm, u32 number);
/* Looks up and runs an ioctl on one of our files. */
long api_dispatch(struct api_file *file, unsigned long request, u64 arg);

/* The rate of the host's TSC, at which guests' TSCs count unless the program wants another rate. */
u64 api_tsc_khz(void);

/* -- memory of the program, which may be anything: 0 or -EFAULT (usercopy.c) -- */

int MUST_CHECK user_read(void *to, u64 from, size_t size);
int MUST_CHECK user_write(u64 to, const void *from, size_t size);

/* -- state of a vCPU that does not run (registers.c has most users) -- */

/* Returns 0; or -EINVAL, with a line in the trace, if the vCPU cannot have that state. */
int MUST_CHECK api_state_set(struct api_vcpu *vcpu, const struct cpu_state *state, u64 given);

/* -- lines for people (trace.c); `what`: API_TRACE_* -- */

#define API_TRACE_IOCTL BIT(8)   /* each ioctl but KVM_RUN, with its result */
#define API_TRACE_UNKNOWN BIT(9) /* ioctls and capabilities that are not offered */
#define API_TRACE_RUN BIT(10)    /* each return of KVM_RUN */
void api_trace(u32 what, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool api_traced(u32 what);
/* Makes the engine of a new VM report VM entries that fail, and VM exits, if they are asked for. */
void api_trace_engine(struct api_host *h, struct vm *vm);

#endif
