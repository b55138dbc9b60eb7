/*
 * Guest memory changes under running vCPUs: slots come and go, epochs of dirty pages end, others than vCPUs write. The
 * struct ram_ops below is what the engine does then, on any thread that runs no vCPU; its opaque is the struct vm.
 *
 * A change happens in the exclusive section. Whoever was parked for it looks slots up again, leaves the block that it
 * was in, and finds no translation of addresses; so afterwards nobody uses memory that is no longer the guest's.
 */
#include "cpu/cpu.h"

#include "cpu/core/exclusive.h"
#include "cpu/core/upcalls.h"
#include "cpu/jit/block.h"
#include "cpu/mmu/mmu.h"

static int change_begin(void *opaque, u32 space, const struct ram_slot *old, const struct ram_slot *now)
{
    exclusive_begin_outside(opaque);
    return 0;
}

static void protect(struct vm *vm, const u8 *host, u64 size)
{
    for (u32 i = 0; i < vm->vcpu_count; i++)
        mmu_protect(vm->vcpu[i], host, size);
}

/* Asks for the files of all RAM, so that they are known where nobody can ask. */
static void files_know(struct vm *vm)
{
    const struct cpu_direct_host *host = vm->host->direct;
    u32 file;
    u64 offset;
    for (u32 i = 0; i < vm->ram->count; i++)
        if (!(vm->ram->slot[i].flags & RAM_READONLY))
            host->file(host->opaque, vm->ram->slot[i].host, &file, &offset);
}

static void change_end(void *opaque, u32 space, const struct ram_slot *old, const struct ram_slot *now)
{
    struct vm *vm = opaque;
    if (now && now->flags & RAM_FOREIGN)
        __atomic_store_n(&vm->foreign, true, __ATOMIC_SEQ_CST);
    bool goes = old && (!now || now->start.a != old->start.a);
    for (u32 i = 0; i < vm->vcpu_count; i++)
        vcpu_slots_forget(vm->vcpu[i]);
    if (goes && vm->host->direct) {
        vm->host->direct->files_forget(vm->host->direct->opaque);
        vm->direct_notes.generation++;
    }
    if (now && vm->maps != CPU_MAPS_OFF && vm->host->direct)
        files_know(vm);
    if (goes) {
        block_forget(vm, old);
        for (u32 i = 0; i < vm->vcpu_count; i++) {
            mmu_forget(vm->vcpu[i]);
            vm->vcpu[i]->code_changed = true;
        }
    } else if (old && now->dirty && !old->dirty) {
        protect(vm, now->host, now->size);
    }
    exclusive_end_outside(vm);
}

void cpu_direct_end(struct vm *vm)
{
    if (vm->direct == CPU_DIRECT_OFF)
        return;
    exclusive_begin_outside(vm);
    vm->direct_notes.ended = true;
    exclusive_end_outside(vm);
}

static void dirty_begin(void *opaque)
{
    exclusive_begin_outside(opaque);
}

static void dirty_cleared(void *opaque, const struct ram_slot *s, u64 first, u64 pages)
{
    protect(opaque, s->host + (first << PAGE_SHIFT), pages << PAGE_SHIFT);
}

static void dirty_end(void *opaque)
{
    exclusive_end_outside(opaque);
}

static void written(void *opaque, const struct ram_slot *s, gpa_t at, u64 size)
{
    code_written(opaque, NULL, s, at, size);
}

const struct ram_ops cpu_ram_ops = {
    .change_begin = change_begin,
    .change_end = change_end,
    .dirty_begin = dirty_begin,
    .dirty_cleared = dirty_cleared,
    .dirty_end = dirty_end,
    .code_written = written,
};
