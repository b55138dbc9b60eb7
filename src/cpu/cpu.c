/*
 * The engine's public face: creation, the loop of a vCPU (look at requests and events, run translated code until it
 * leaves, look again), and what else cpu.h offers of the rooms below. The state of a vCPU is in state.c.
 */
#include "cpu/cpu.h"

#include <errno.h>

#include "cpu/core/copy.h"
#include "cpu/core/exclusive.h"
#include "cpu/core/nested.h"
#include "cpu/core/stats.h"
#include "cpu/core/upcalls.h"
#include "cpu/core/vectors.h"
#include "cpu/core/world.h"
#include "cpu/direct/direct.h"
#include "cpu/event/debug.h"
#include "cpu/event/exception.h"
#include "cpu/event/ferr.h"
#include "cpu/event/lapic.h"
#include "cpu/event/perf.h"
#include "cpu/event/reset.h"
#include "cpu/insn/hypercall.h"
#include "cpu/insn/hyperv.h"
#include "cpu/insn/msr.h"
#include "cpu/insn/paravirt.h"
#include "cpu/jit/block.h"
#include "cpu/jit/called.h"
#include "cpu/jit/exec.h"
#include "cpu/jit/signal.h"
#include "cpu/mmu/mapped.h"
#include "cpu/mmu/mmu.h"
#include "cpu/mmu/users.h"
#include "cpu/mmu/walk.h"

const struct upcalls cpu_upcalls = {
    .code_written = block_invalidate,
    .guest_rip = exec_guest_rip,
    .code_entered = block_check,
    .foreign_event = mmu_foreign_event,
    .apic_read = lapic_mmio_read,
    .apic_write = lapic_mmio_write,
};

/* -- creation -- */

static void *memory_get(const struct cpu_host *host, size_t size, enum cpu_memory kind)
{
    return host->memory_get(host->opaque, size, kind);
}

static void memory_put(const struct cpu_host *host, void *memory, size_t size)
{
    if (memory)
        host->memory_put(host->opaque, memory, size);
}

int cpu_create(struct vm **out, const struct cpu_config *config)
{
    const struct cpu_host *host = config->host;
    struct vm *vm = memory_get(host, sizeof(*vm), CPU_MEMORY_SPARSE);
    if (!vm)
        return -ENOMEM;
    vm->machine = config->machine;
    vm->host = host;
    vm->ram = config->machine->ram->space;
    vm->upcalls = &cpu_upcalls;
    vm->tsc_khz = config->tsc_khz;
    vm->tsc_of_host = config->tsc_of_host;
    vm->smm = config->smm;
    vm->hypercalls = config->hypercalls;
    vm->paravirt = config->paravirt;
    vm->direct = config->host->direct ? config->direct : CPU_DIRECT_OFF;
    vm->maps = host->alias ? config->maps : CPU_MAPS_OFF;
    vm->clock.tsc = tsc_host();
    vm->cache = memory_get(host, sizeof(*vm->cache), CPU_MEMORY_DENSE);
    u8 *code = memory_get(host, CACHE_CODE_SIZE, CPU_MEMORY_CODE);
    u8 *data = memory_get(host, CACHE_DATA_SIZE, CPU_MEMORY_DENSE);
    if (vm->cache && code && data) {
        cache_init(vm->cache, code, CACHE_CODE_SIZE, data, CACHE_DATA_SIZE);
        *out = vm;
        return 0;
    }
    memory_put(host, data, CACHE_DATA_SIZE);
    memory_put(host, code, CACHE_CODE_SIZE);
    memory_put(host, vm->cache, sizeof(*vm->cache));
    memory_put(host, vm, sizeof(*vm));
    return -ENOMEM;
}

/* A vCPU is one piece of memory: struct vcpu, then what the rooms keep for it, each from a page on. */
struct vcpu_layout {
    size_t exec, lapic, nested, mmu, mapped, users, direct, size;
};

static size_t pages(size_t size)
{
    return (size + PAGE_MASK) & ~PAGE_MASK;
}

static struct vcpu_layout vcpu_layout(const struct vm *vm)
{
    struct vcpu_layout l;
    l.exec = pages(sizeof(struct vcpu));
    l.lapic = l.exec + pages(exec_size());
    l.nested = l.lapic + pages(lapic_size());
    l.mmu = l.nested + pages(vmx_size() > svm_size() ? vmx_size() : svm_size());
    l.mapped = l.mmu + pages(mmu_size());
    l.users = l.mapped + (vm->maps != CPU_MAPS_OFF ? pages(mapped_size()) : 0);
    l.direct = l.users + (vm->maps >= CPU_MAPS_AUTO ? pages(users_size()) : 0);
    l.size = l.direct + (vm->direct != CPU_DIRECT_OFF ? pages(direct_size()) : 0);
    return l;
}

void cpu_destroy(struct vm *vm)
{
    const struct cpu_host *host = vm->host;
    for (u32 i = 0; i < vm->vcpu_count; i++)
        if (vm->vcpu[i]->direct_spaces)
            direct_detach(vm->vcpu[i]);
    for (u32 i = 0; i < vm->vcpu_count; i++) {
        mapped_detach(vm->vcpu[i]);
        users_detach(vm->vcpu[i]);
    }
    for (u32 i = 0; i < vm->vcpu_count; i++)
        memory_put(host, vm->vcpu[i], vcpu_layout(vm).size);
    memory_put(host, vm->cache->data, CACHE_DATA_SIZE);
    memory_put(host, vm->cache->code, CACHE_CODE_SIZE);
    memory_put(host, vm->cache, sizeof(*vm->cache));
    memory_put(host, vm, sizeof(*vm));
}

/* Gives the vCPU VT-x, AMD-V or neither, as CPUID says. */
static void extension_attach(struct vcpu *v)
{
    void *memory = (char *)v + vcpu_layout(v->vm).nested;
    v->nested = NULL;
    v->vmx = NULL;
    v->svm = NULL;
    if (cpu_has(v->vm, FEATURE_VMX))
        vmx_init(v, memory);
    else if (cpu_has(v->vm, FEATURE_SVM))
        svm_init(v, memory);
}

/* Returns true if the two differ in no more than what CPUID returns. */
static bool features_agree(const struct cpu_features *a, const struct cpu_features *b)
{
    bool same = a->vendor == b->vendor && a->phys_bits == b->phys_bits && a->xcr0 == b->xcr0;
    for (unsigned i = 0; i < FEATURE_WORDS; i++)
        same = same && a->has[i] == b->has[i];
    return same;
}

static void vm_features_set(struct vm *vm, const struct cpu_features *f)
{
    bool other = vm->vcpu_count && vm->vendor != f->vendor;
    copy_bytes(&vm->shown, f, sizeof(*f)); /* f may change, and be given again */
    vm->features = &vm->shown;
    vm->vendor = f->vendor;
    vm->phys_bits = f->phys_bits;
    for (u32 i = 0; i < vm->vcpu_count; i++) {
        extension_attach(vm->vcpu[i]);
        if (other)
            msr_reset(vm->vcpu[i]);
    }
}

int cpu_features_set(struct vcpu *v, const struct cpu_features *features)
{
    struct vm *vm = v->vm;
    if (!features_agree(features, vm->features)) {
        if (__atomic_load_n(&vm->ran, __ATOMIC_ACQUIRE))
            return -EINVAL;
        vm_features_set(vm, features);
    }
    v->features = features;
    paravirt_features(v);
    return 0;
}

void cpu_cpuid(const struct vcpu *v, u32 leaf, u32 sub, u32 r[4])
{
    cpuid_read(v, leaf, sub, r);
}

int cpu_add(struct vm *vm, u32 apic_id, const struct cpu_features *features)
{
    u32 index = vm->vcpu_count;
    if (index == CPU_VCPUS_MAX)
        return -ENOSPC;
    if (!vm->features)
        vm_features_set(vm, features);
    if (!features_agree(features, vm->features))
        return -EINVAL;
    struct vcpu_layout l = vcpu_layout(vm);
    char *memory = memory_get(vm->host, l.size, CPU_MEMORY_SPARSE);
    if (!memory)
        return -ENOMEM;
    struct vcpu *v = (struct vcpu *)memory;
    v->vm = vm;
    v->index = index;
    v->apic_id = apic_id;
    v->features = features;
    v->tsc_khz = vm->tsc_khz;
    v->pv.enforce = !vm->paravirt;
    paravirt_features(v);
    mmu_init(v, memory + l.mmu);
    exec_init(v, memory + l.exec);
    if (vm->direct != CPU_DIRECT_OFF)
        direct_attach(v, memory + l.direct);
    if (vm->maps != CPU_MAPS_OFF && index < MAPPED_VCPUS)
        mapped_attach(v, memory + l.mapped);
    if (vm->maps >= CPU_MAPS_AUTO && index < USERS_VCPUS)
        users_attach(v, memory + l.users);
    lapic_create(v, memory + l.lapic);
    extension_attach(v);
    cpu_reset(v);
    vm->vcpu[index] = v;
    __atomic_store_n(&vm->vcpu_count, index + 1, __ATOMIC_RELEASE);
    return (int)index;
}

void cpu_apics_set(struct vm *vm, enum cpu_apics apics)
{
    vm->apics = apics;
}

void cpu_boot_set(struct vm *vm, u32 apic_id)
{
    vm->boot_id = apic_id;
}

u32 cpu_count(const struct vm *vm)
{
    return vm->vcpu_count;
}

struct vcpu *cpu_at(const struct vm *vm, u32 index)
{
    return vm->vcpu[index];
}

void cpu_ring_set(struct vcpu *v, struct ram_ring *ring)
{
    v->ring = ring;
}

/* -- running -- */

void cpu_reset(struct vcpu *v)
{
    __atomic_store_n(&v->smi_pending, false, __ATOMIC_SEQ_CST);
    __atomic_store_n(&v->nmi_pending, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&v->init_pending, false, __ATOMIC_SEQ_CST);
    __atomic_store_n(&v->sipi_pending, false, __ATOMIC_SEQ_CST);
    msr_reset(v);
    v->awaits = false;
    reset_vcpu(v, false);
    vector_reset(v);
    ferr_reset(v);
    __atomic_store_n(&v->request, 0, __ATOMIC_SEQ_CST);
}

/* The vCPU is not active. Returns true if the caller of cpu_run knows for how long. */
static bool wait_is_callers(struct vcpu *v)
{
    bool halted = v->activity == ACTIVITY_HLT;
    if (v->vm->apics != CPU_APICS_CALLER || (!halted && v->activity != ACTIVITY_MWAIT))
        return false;
    v->activity = ACTIVITY_ACTIVE; /* MWAIT may end for no reason */
    if (halted)
        v->exit = CPU_EXIT_HLT;
    return true;
}

static void wait(struct vcpu *v)
{
    if (unlikely(wait_is_callers(v)))
        return;
    if (paravirt_sleep(v))
        return;
    v->stat[STAT_HALT]++;
    perf_end(v);
    run_end(v);
    direct_rest(v);
    world_wait(v);
    run_begin(v);
    perf_begin(v);
    paravirt_wake(v);
}

static void requests(struct vcpu *v)
{
    u64 r = __atomic_load_n(&v->request, __ATOMIC_SEQ_CST);
    if (r & REQ_STOP) {
        v->exit = CPU_EXIT_STOP;
        return;
    }
    if (r & REQ_EXCLUSIVE)
        park(v);
    if (r & REQ_FOREIGN) {
        __atomic_fetch_and(&v->request, ~REQ_FOREIGN, __ATOMIC_SEQ_CST);
        if (v->code_doubted && v->vm->foreign)
            mmu_foreign_doubt(v);
        v->code_doubted = false;
        mmu_foreign_look(v);
    }
    if (r & REQ_LEAVE) {
        __atomic_fetch_and(&v->request, ~REQ_LEAVE, __ATOMIC_SEQ_CST);
        v->exit = v->leave;
        return;
    }
    if (r & REQ_TIMER) {
        __atomic_fetch_and(&v->request, ~REQ_TIMER, __ATOMIC_SEQ_CST);
        lapic_timer(v);
        perf_timer(v);
        if (v->in_guest && v->nested->timer)
            v->nested->timer(v);
        synic_timers(v);
        timers_update(v);
        paravirt_steal(v);
    }
    if (r & REQ_PARAVIRT)
        paravirt_update(v);
}

static void begin(struct vcpu *v)
{
    v->exit = CPU_EXIT_NONE;
    v->awaits = false;
    if (!v->vm->ran)
        __atomic_store_n(&v->vm->ran, true, __ATOMIC_RELEASE);
    run_begin(v);
    mmu_attach(v);
    mode_update(v);
    perf_begin(v);
    paravirt_enter(v);
}

static enum cpu_exit end(struct vcpu *v)
{
    perf_end(v);
    vector_save(v);
    run_end(v);
    direct_rest(v);
    return v->exit;
}

enum cpu_exit cpu_run(struct vcpu *v)
{
    bool awaits = v->awaits; /* the read is an event itself, and nothing else comes before it */
    begin(v);
    if (!awaits)
        foreign_event(v);
    while (v->exit == CPU_EXIT_NONE) {
        if (v->request)
            requests(v);
        if (v->exit != CPU_EXIT_NONE)
            break;
        if ((v->request & REQ_EVENT) || v->inject.valid || v->trap_pending)
            settle(v, events_process(v));
        if (v->exit != CPU_EXIT_NONE || (v->request && !v->step_owed))
            continue;
        if (v->activity != ACTIVITY_ACTIVE)
            wait(v);
        else if (!v->direct_spaces || !direct_execute(v))
            execute(v);
    }
    lapic_eoi_look(v);
    return end(v);
}

enum cpu_exit cpu_step(struct vcpu *v)
{
    begin(v);
    do {
        v->step_owed = true;
        request_raise(v, REQ_EVENT);
        if (__atomic_load_n(&v->request, __ATOMIC_SEQ_CST) & REQ_EXCLUSIVE)
            park(v);
        execute(v);
    } while (v->exec->not_run);
    return end(v);
}

void cpu_defer(struct vcpu *v)
{
    v->deferred = true;
}

void cpu_leave(struct vcpu *v)
{
    v->leave = CPU_EXIT_DEVICE;
    request_raise(v, REQ_LEAVE);
}

void cpu_code_doubt(struct vcpu *v)
{
    v->code_doubted = true;
    request_raise(v, REQ_FOREIGN);
}

void cpu_fetch_exits(struct vm *vm, enum cpu_fetch_exits which)
{
    __atomic_store_n(&vm->fetch_exits, which, __ATOMIC_RELAXED);
}

void cpu_stop(struct vcpu *v)
{
    request_set(v, REQ_STOP);
}

void cpu_go(struct vcpu *v)
{
    __atomic_fetch_and(&v->request, ~REQ_STOP, __ATOMIC_SEQ_CST);
}

void cpu_timer_due(struct vcpu *v)
{
    request_set(v, REQ_TIMER);
}

const u8 *cpu_page_fault(struct vcpu *v, const u8 *host_rip, u64 address, u64 rcx, bool write)
{
    return exec_page_fault(v, host_rip, address, rcx, write);
}

const u8 *cpu_memory_at(const struct vm *vm, const u8 *host)
{
    const u8 *memory = NULL;
    for (u32 i = 0; i < vm->vcpu_count && !memory; i++)
        memory = users_memory(vm->vcpu[i], host) ?: mapped_memory(vm->vcpu[i], host);
    return memory ? memory : host;
}

const u8 *cpu_signal(struct vcpu *v, const u8 *host_rip, unsigned trapno)
{
    return exec_signal(v, host_rip, trapno);
}

/* Devices do not touch guest memory with a lock held. */
bool cpu_may_leave(const struct vcpu *v)
{
    return v->running;
}

void cpu_memory_gone(struct vcpu *v)
{
    if (v->vm->exclusive == v->index + 1)
        exclusive_end(v);
    v->exec->bounce_locked = false;
    v->insn = NULL;
    v->deferred = false;
    block_give_up(v);
    v->exit = CPU_EXIT_MEMORY;
    end(v);
}

/* -- interrupts -- */

int cpu_msi(struct vm *vm, u64 address, u32 data)
{
    return apic_msi(vm, address, data);
}

void cpu_msi_format(struct vm *vm, bool wide, bool exact)
{
    __atomic_store_n(&vm->msi_wide, wide, __ATOMIC_RELAXED);
    __atomic_store_n(&vm->msi_exact, exact, __ATOMIC_RELAXED);
}

void cpu_nmi(struct vcpu *v)
{
    apic_nmi(v);
}

int cpu_interrupt(struct vcpu *v, u8 vector)
{
    if (v->pushed)
        return -EEXIST;
    v->pushed = true;
    v->pushed_vector = vector;
    request_set(v, REQ_EVENT);
    return 0;
}

bool cpu_interruptible(struct vcpu *v)
{
    return events_push_taken(v);
}

void cpu_interruptibility(struct vcpu *v, struct cpu_interruptibility *out)
{
    *out = (struct cpu_interruptibility){.flag = v->flags & FLAG_IF,
                                         .ready = events_push_taken(v),
                                         .guest = v->in_guest,
                                         .tpr = (u8)lapic_tpr_read(v),
                                         .apic_base = v->apic_base};
}

void cpu_tpr_set(struct vcpu *v, u8 tpr)
{
    lapic_tpr_set(v, tpr);
}

void cpu_apic_clean(struct vcpu *v, struct cpu_apic *apic)
{
    lapic_page_clean(v, apic);
}

void cpu_window_set(struct vcpu *v, bool wanted)
{
    if (wanted && !v->window)
        request_set(v, REQ_EVENT);
    v->window = wanted;
}

void cpu_intr_line(struct vm *vm, bool level)
{
    apic_intr_line(vm, level);
}

void cpu_smi(struct vcpu *v)
{
    apic_smi(v);
}

void cpu_cmci(struct vcpu *v)
{
    apic_cmci(v);
}

bool cpu_in_smm(const struct vcpu *v)
{
    return v->smm.on;
}

void cpu_init(struct vm *vm)
{
    apic_init_line(vm);
}

void cpu_ignne(struct vm *vm, bool level)
{
    ferr_ignne(vm, level);
}

/* -- debugging from outside -- */

void cpu_debug_set(struct vcpu *v, const struct cpu_debug *debug)
{
    debug_set(v, debug);
}

const struct cpu_exit_debug *cpu_debug_exit(const struct vcpu *v)
{
    return &v->exit_debug;
}

/* -- paravirtual interfaces -- */

void cpu_clock_get(const struct vm *vm, struct cpu_clock *c)
{
    c->tsc = tsc_host();
    c->wall_ns = vm->host->wall_ns(vm->host->opaque);
    c->ns = paravirt_clock(vm, c->tsc);
    c->stable = paravirt_clock_stable(vm);
}

void cpu_clock_set(struct vm *vm, u64 ns)
{
    paravirt_clock_set(vm, tsc_host(), ns);
}

bool cpu_clock_stopped(struct vcpu *v)
{
    if (!(v->pv.system_time & KVM_PARA_ENABLED))
        return false;
    v->pv.stopped = true;
    request_raise(v, REQ_PARAVIRT);
    return true;
}

bool cpu_may_poll(const struct vcpu *v)
{
    return v->pv.poll_control;
}

void cpu_paravirt_enforce(struct vcpu *v, bool enforce)
{
    v->pv.enforce = enforce;
}

void cpu_quirks_set(struct vm *vm, u32 quirks)
{
    __atomic_store_n(&vm->quirks, quirks, __ATOMIC_RELAXED);
}

void cpu_hypercall_exits(struct vm *vm, u64 numbers)
{
    vm->hypercall_exits = numbers;
}

const struct cpu_exit_hypercall *cpu_hypercall(const struct vcpu *v)
{
    return &v->exit_hypercall;
}

void cpu_hypercall_finish(struct vcpu *v, u64 result)
{
    hypercall_finish(v, result);
}

void cpu_hyperv_enforce(struct vcpu *v, bool enforce)
{
    v->hv.enforce = enforce;
}

void cpu_hyperv_synic(struct vcpu *v, bool keep_pages)
{
    v->hv.synic = true;
    v->hv.synic_keeps = keep_pages;
    synic_reset(v);
}

int cpu_hyperv_sint(struct vm *vm, u32 vp_index, u32 sint)
{
    for (u32 i = 0; i < __atomic_load_n(&vm->vcpu_count, __ATOMIC_ACQUIRE); i++)
        if (vm->vcpu[i]->hv.vp_index == vp_index)
            return synic_interrupt(vm->vcpu[i], sint);
    return -1;
}

void cpu_hyperv_debug_status(struct vm *vm, u64 status)
{
    vm->hv.debug[1] = status;
}

const struct cpu_exit_hyperv *cpu_hyperv(const struct vcpu *v)
{
    return &v->exit_hyperv;
}

void cpu_hyperv_finish(struct vcpu *v, u64 result)
{
    hyperv_call_finish(v, result);
}

bool cpu_translate(struct vcpu *v, u64 la, u64 *gpa)
{
    return walk_peek(v, la, gpa);
}

/* -- for people -- */

const char *cpu_counter(const struct vcpu *v, unsigned i, u64 *value)
{
    static const char *const text[] = {
#define X(id, words) words,
        STATS(X)
#undef X
    };
    if (i >= ARRAY_LEN(text))
        return NULL;
    *value = v->stat[i];
    return text[i];
}

bool cpu_hypervisor_active(const struct vcpu *v)
{
    return v->nested && v->nested->active(v);
}

enum vendor cpu_vendor(const struct vm *vm)
{
    return vm->vendor;
}

u64 cpu_exit_count(const struct vm *vm, unsigned level, unsigned slot, u64 *code)
{
    u64 sum = 0;
    for (u32 i = 0; i < vm->vcpu_count; i++)
        sum += vm->vcpu[i]->exits.count[level - 2][slot];
    *code = exits_code(vm->vendor, slot);
    return sum;
}

const char *cpu_called(const struct vm *vm, unsigned i, u64 *count)
{
    const char *name = called_name(i);
    *count = 0;
    for (u32 k = 0; k < vm->vcpu_count && name; k++)
        *count += vm->vcpu[k]->exec->called[i];
    return name;
}

void cpu_cache_use(const struct vm *vm, struct cpu_cache_use *use)
{
    const struct cache *c = vm->cache;
    *use = (struct cpu_cache_use){.blocks = c->block_count,
                                  .hot = (u64)(c->hot - c->code),
                                  .cold = (u64)(c->cold - c->hot_end),
                                  .flushes = c->flushes};
}

bool cpu_code(const struct vm *vm, u32 i, struct cpu_code *code)
{
    const struct cache *c = vm->cache;
    u32 count = __atomic_load_n(&c->block_count, __ATOMIC_ACQUIRE);
    if (i == 0) {
        const u8 *end = count ? c->blocks[0].far_entry : c->hot;
        *code = (struct cpu_code){.host = (u64)c->code, .size = (u64)(end - c->code)};
        return true;
    }
    if (i > 2 * count)
        return false;
    const struct block *b = &c->blocks[(i - 1) / 2];
    bool rest = i % 2 == 0;
    *code = (struct cpu_code){.kind = rest ? CPU_CODE_REST : CPU_CODE_MAIN,
                              .host = rest ? (u64)b->cold : (u64)b->far_entry,
                              .size = rest ? (u64)(b->cold_end - b->cold) : (u64)(b->hot_end - b->far_entry),
                              .la = b->page_la | b->offset,
                              .guest = b->mode & MODE_GUEST,
                              .user = b->mode & MODE_USER,
                              .hot = b->hot};
    return true;
}

u64 cpu_rip(const struct vcpu *v)
{
    return v->rip;
}
