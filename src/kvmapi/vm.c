/*
 * A VM: its creation, its end with the last descriptor of it and of its vCPUs, and what is asked of it as a whole.
 */
#include "kvmapi/vm.h"

#include "kvmapi/cpuid.h"
#include "kvmapi/descriptor.h"
#include "kvmapi/run.h"
#include "kvmapi/settings.h"
#include "kvmapi/signals.h"
#include "kvmapi/stats.h"
#include "kvmapi/system.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* All VMs of this process, for what is written when it ends. */
static struct api_vm *all;
static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;

static void at_exit(void)
{
    pthread_mutex_lock(&all_lock);
    for (struct api_vm *vm = all; vm; vm = vm->next)
        if (vm->pid == getpid())
            stats_write(vm);
    pthread_mutex_unlock(&all_lock);
}

static void list_add(struct api_vm *vm)
{
    static bool known;
    pthread_mutex_lock(&all_lock);
    if (!known)
        known = !atexit(at_exit);
    vm->next = all;
    all = vm;
    pthread_mutex_unlock(&all_lock);
}

static void list_remove(const struct api_vm *vm)
{
    pthread_mutex_lock(&all_lock);
    for (struct api_vm **p = &all; *p; p = &(*p)->next)
        if (*p == vm) {
            *p = vm->next;
            break;
        }
    pthread_mutex_unlock(&all_lock);
}

void vms_watched(void)
{
    pthread_mutex_lock(&all_lock);
    for (struct api_vm *vm = all; vm; vm = vm->next)
        if (vm->pid == getpid())
            cpu_direct_end(vm->cpus);
    pthread_mutex_unlock(&all_lock);
}

static void parts_destroy(struct api_vm *vm)
{
    for (const struct api_part *const *p = api_parts; *p; p++)
        if ((*p)->vm_destroy)
            (*p)->vm_destroy(vm);
}

static int parts_create(struct api_vm *vm)
{
    int e = 0;
    for (const struct api_part *const *p = api_parts; *p && !e; p++)
        if ((*p)->vm_create)
            e = (*p)->vm_create(vm);
    return e;
}

static void vm_destroy(struct api_vm *vm)
{
    list_remove(vm);
    stats_write(vm);
    if (vm->host)
        host_stop(vm->host);
    for (u32 i = 0; i < vm->vcpu_count; i++)
        vcpu_free(vm->vcpu[i]);
    vm->vcpu_count = 0;
    parts_destroy(vm);
    if (vm->machine.ram)
        ram_detach(vm->machine.ram);
    if (vm->cpus)
        cpu_destroy(vm->cpus);
    ram_destroy(vm->machine.ram);
    host_destroy(vm->host);
    pthread_mutex_destroy(&vm->lock);
    free(vm);
}

void vm_get(struct api_vm *vm)
{
    __atomic_add_fetch(&vm->refs, 1, __ATOMIC_ACQ_REL);
}

void vm_put(struct api_vm *vm)
{
    if (!__atomic_sub_fetch(&vm->refs, 1, __ATOMIC_ACQ_REL))
        vm_destroy(vm);
}

static void release(void *object)
{
    vm_put(object);
}

/*
 * What the kernel does differently from the manuals, and a program may switch off. The engine does little of it: CD and
 * NW of CR0 stay as written, the APIC's page is no hole in x2APIC mode, and an OUT to port 7Eh is like any other.
 */
#define QUIRKS                                                                                                         \
    (KVM_X86_QUIRK_CD_NW_CLEARED | KVM_X86_QUIRK_LAPIC_MMIO_HOLE | KVM_X86_QUIRK_OUT_7E_INC_RIP |                      \
     KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT | KVM_X86_QUIRK_FIX_HYPERCALL_INSN | KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS)

static void quirks_set(struct api_vm *vm, u64 disabled)
{
    u32 quirks = 0;
    if (!(disabled & KVM_X86_QUIRK_FIX_HYPERCALL_INSN))
        quirks |= CPU_QUIRK_HYPERCALL;
    if (!(disabled & KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS))
        quirks |= CPU_QUIRK_MONITOR;
    if (disabled & KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT)
        quirks |= CPU_MONITOR_BY_MSR;
    cpu_quirks_set(vm->cpus, quirks);
}

static int vm_make(struct api_vm *vm)
{
    int e = cpuid_offered(&vm->features);
    if (!e)
        e = host_create(&vm->host);
    vm->machine.ram = ram_create();
    if (!e && !vm->machine.ram)
        e = -ENOMEM;
    if (e)
        return e;
    run_machine_init(&vm->machine, vm);
    const struct cpu_config config = {.machine = &vm->machine,
                                      .host = &vm->host->ops,
                                      .tsc_khz = api_tsc_khz(),
                                      .smm = true,
                                      .paravirt = true,
                                      .direct = api_settings()->direct};
    e = cpu_create(&vm->cpus, &config);
    if (!e)
        api_trace_engine(vm->host, vm->cpus);
    if (!e)
        quirks_set(vm, 0);
    if (!e)
        e = ram_attach(vm->machine.ram, &cpu_ram_ops, vm->cpus);
    return e ? e : parts_create(vm);
}

long vm_open(void)
{
    struct api_vm *vm = calloc(1, sizeof(*vm));
    if (!vm)
        return -ENOMEM;
    signals_begin();
    vm->refs = 1;
    vm->pid = getpid();
    pthread_mutex_init(&vm->lock, NULL);
    long r = vm_make(vm);
    if (!r)
        r = system_file(SYSTEM_NAME_VM, 0, true);
    if (r >= 0)
        r = file_add((int)r, FILE_VM, vm, release, &vm->file);
    if (r < 0)
        vm_destroy(vm);
    else
        list_add(vm);
    return r;
}

static long check_extension(struct api_vm *vm, struct api_arg *arg)
{
    return api_cap_value(vm, (u32)arg->value);
}

static long create_vcpu(struct api_vm *vm, struct api_arg *arg)
{
    return vcpu_open(vm, arg->value);
}

static long enable_cap(struct api_vm *vm, struct api_arg *arg)
{
    const struct kvm_enable_cap *request = arg->data;
    const struct api_cap *cap = api_cap_find(request->cap);
    if (request->flags || !cap || !cap->enable_vm)
        return -EINVAL;
    long r = cap->enable_vm(vm, request);
    if (!r && request->cap < 512)
        vm->caps[request->cap / 64] |= BIT64(request->cap % 64);
    return r;
}

/* There the kernel keeps what real mode and paging need on old CPUs. The engine needs no such place. */
static long set_tss_addr(struct api_vm *vm, struct api_arg *arg)
{
    return arg->value > 0xffffffffull - 3 * PAGE_SIZE ? -EINVAL : 0;
}

static long set_identity_map_addr(struct api_vm *vm, struct api_arg *arg)
{
    return vm->vcpu_count ? -EINVAL : 0;
}

/* The program says how far its vCPU IDs go: once, before it makes any. */
static long limit_vcpu_ids(struct api_vm *vm, const struct kvm_enable_cap *cap)
{
    if (!cap->args[0] || cap->args[0] > API_VCPUS_MAX || vm->vcpu_ids || vm->vcpu_count)
        return -EINVAL;
    vm->vcpu_ids = (u32)cap->args[0];
    return 0;
}

static long disable_quirks(struct api_vm *vm, const struct kvm_enable_cap *cap)
{
    if (cap->cap == KVM_CAP_DISABLE_QUIRKS2 && cap->args[0] & ~(u64)QUIRKS)
        return -EINVAL;
    quirks_set(vm, cap->args[0]);
    return 0;
}

/* The number is that of the kernel's shadow page tables; the engine has none, and keeps the number. */
static long set_nr_mmu_pages(struct api_vm *vm, struct api_arg *arg)
{
    if ((u32)arg->value < 64)
        return -EINVAL;
    vm->mmu_pages = (u32)arg->value;
    return 0;
}

static long get_nr_mmu_pages(struct api_vm *vm, struct api_arg *arg)
{
    return vm->mmu_pages;
}

static const struct api_ioctl ioctls[] = {
    API_VM(KVM_CHECK_EXTENSION, check_extension),
    API_VM(KVM_CREATE_VCPU, create_vcpu),
    API_VM(KVM_ENABLE_CAP, enable_cap),
    API_VM(KVM_SET_NR_MMU_PAGES, set_nr_mmu_pages),
    API_VM(KVM_GET_NR_MMU_PAGES, get_nr_mmu_pages),
    API_VM(KVM_SET_TSS_ADDR, set_tss_addr),
    API_VM(KVM_SET_IDENTITY_MAP_ADDR, set_identity_map_addr),
    {0},
};

static const struct api_cap caps[] = {
    API_CAP(KVM_CAP_CHECK_EXTENSION_VM, 1),
    API_CAP(KVM_CAP_ENABLE_CAP_VM, 1),
    API_CAP(KVM_CAP_SET_TSS_ADDR, 1),
    API_CAP(KVM_CAP_SET_IDENTITY_MAP_ADDR, 1),
    API_CAP(KVM_CAP_NR_VCPUS, API_VCPUS_MAX),
    API_CAP(KVM_CAP_MAX_VCPUS, API_VCPUS_MAX),
    API_CAP(KVM_CAP_MAX_VCPU_ID, API_VCPUS_MAX, .enable_vm = limit_vcpu_ids),
    API_CAP(KVM_CAP_MMU_SHADOW_CACHE_CONTROL, 1),
    API_CAP(KVM_CAP_SMALLER_MAXPHYADDR, 1),
    API_CAP(KVM_CAP_DISABLE_QUIRKS, 1, .enable_vm = disable_quirks),
    API_CAP(KVM_CAP_DISABLE_QUIRKS2, QUIRKS, .enable_vm = disable_quirks),
    {0},
};

const struct api_part vm_part = {.name = "vm", .ioctls = ioctls, .caps = caps};
