/*
 * The rows of interrupt controllers, GSIs, irqfd, ioeventfd and coalesced accesses, and the functions by which the
 * guest's accesses reach them. Results are those of Linux's arch/x86/kvm and virt/kvm.
 */
#include "kvmapi/interrupts.h"

#include "kvmapi/coalesced.h"
#include "kvmapi/ioeventfd.h"
#include "kvmapi/irqchip_state.h"
#include "kvmapi/irqfd.h"
#include "kvmapi/run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* -- controllers -- */

static long create_irqchip(struct api_vm *vm, struct api_arg *arg)
{
    return irqchip_create(vm->chips);
}

static long enable_split(struct api_vm *vm, const struct kvm_enable_cap *cap)
{
    return irqchip_split(vm->chips, cap->args[0]);
}

#define X2APIC_FLAGS (KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK)

static long enable_x2apic(struct api_vm *vm, const struct kvm_enable_cap *cap)
{
    if (cap->args[0] & ~(u64)X2APIC_FLAGS)
        return -EINVAL;
    irqchip_ids(vm->chips, cap->args[0] & KVM_X2APIC_API_USE_32BIT_IDS,
                cap->args[0] & KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK);
    return 0;
}

static long set_boot_cpu_id(struct api_vm *vm, struct api_arg *arg)
{
    if (vm->vcpu_count)
        return -EBUSY;
    cpu_boot_set(vm->cpus, (u32)arg->value);
    return 0;
}

static long get_irqchip(struct api_vm *vm, struct api_arg *arg)
{
    struct irqchip *chip = vm->chips;
    if (chip->kind != IRQCHIP_FULL)
        return -ENXIO;
    pthread_mutex_lock(&chip->lock);
    bool known = irqchip_state_get(chip, arg->data);
    pthread_mutex_unlock(&chip->lock);
    return known ? 0 : -EINVAL;
}

/* KVM_SET_IRQCHIP and KVM_SET_PIT are declared as if they were read: their struct goes back as it came. */
static long set_irqchip(struct api_vm *vm, struct api_arg *arg)
{
    struct irqchip *chip = vm->chips;
    struct kvm_irqchip *k = arg->data;
    if (user_read(k, arg->value, sizeof(*k)))
        return -EFAULT;
    if (chip->kind != IRQCHIP_FULL)
        return -ENXIO;
    pthread_mutex_lock(&chip->lock);
    bool known = irqchip_state_set(chip, k);
    pthread_mutex_unlock(&chip->lock);
    return known ? 0 : -EINVAL;
}

/* -- PIT -- */

static long create_pit2(struct api_vm *vm, struct api_arg *arg)
{
    const struct kvm_pit_config *config = arg->data;
    return irqchip_pit(vm->chips, config->flags & KVM_PIT_SPEAKER_DUMMY);
}

static long create_pit(struct api_vm *vm, struct api_arg *arg)
{
    return irqchip_pit(vm->chips, true);
}

static long pit_get(struct api_vm *vm, struct kvm_pit_state2 *k)
{
    struct irqchip *chip = vm->chips;
    if (!chip->has_pit)
        return -ENXIO;
    pthread_mutex_lock(&chip->lock);
    pit_state_get(chip, k);
    pthread_mutex_unlock(&chip->lock);
    return 0;
}

static long pit_set(struct api_vm *vm, const struct kvm_pit_state2 *k, bool flags)
{
    struct irqchip *chip = vm->chips;
    if (!chip->has_pit)
        return -ENXIO;
    pthread_mutex_lock(&chip->lock);
    pit_state_set(chip, k, flags);
    pthread_mutex_unlock(&chip->lock);
    return 0;
}

static long get_pit2(struct api_vm *vm, struct api_arg *arg)
{
    return pit_get(vm, arg->data);
}

static long set_pit2(struct api_vm *vm, struct api_arg *arg)
{
    return pit_set(vm, arg->data, true);
}

/* The older struct is the beginning of the newer. */
static long get_pit(struct api_vm *vm, struct api_arg *arg)
{
    struct kvm_pit_state2 k;
    long r = pit_get(vm, &k);
    if (!r)
        memcpy(arg->data, &k, sizeof(struct kvm_pit_state));
    return r;
}

static long set_pit(struct api_vm *vm, struct api_arg *arg)
{
    struct kvm_pit_state2 k = {0};
    if (user_read(&k, arg->value, sizeof(struct kvm_pit_state)))
        return -EFAULT;
    memcpy(arg->data, &k, sizeof(struct kvm_pit_state));
    return pit_set(vm, &k, false);
}

static long reinject_control(struct api_vm *vm, struct api_arg *arg)
{
    struct kvm_reinject_control k;
    struct irqchip *chip = vm->chips;
    if (user_read(&k, arg->value, sizeof(k)))
        return -EFAULT;
    if (!chip->has_pit)
        return -ENXIO;
    pthread_mutex_lock(&chip->lock);
    i8254_merge(&chip->pit, !k.pit_reinject);
    pthread_mutex_unlock(&chip->lock);
    return 0;
}

/* -- GSIs and messages -- */

static long irq_line_status(struct api_vm *vm, struct api_arg *arg)
{
    struct kvm_irq_level *k = arg->data;
    if (!irqchip_exists(vm->chips))
        return -ENXIO;
    k->status = irqchip_line(vm->chips, k->irq, k->level != 0);
    return 0;
}

static long signal_msi(struct api_vm *vm, struct api_arg *arg)
{
    const struct kvm_msi *k = arg->data;
    if (!irqchip_exists(vm->chips) || k->flags || (vm->chips->wide_ids && k->address_hi & 0xff))
        return -EINVAL;
    return irqchip_message(vm->chips, (u64)k->address_hi << 32 | k->address_lo, k->data);
}

static long set_gsi_routing(struct api_vm *vm, struct api_arg *arg)
{
    const struct kvm_irq_routing *k = arg->data;
    if (!irqchip_exists(vm->chips) || k->nr > GSI_MAX || k->flags)
        return -EINVAL;
    size_t size = k->nr * sizeof(k->entries[0]);
    struct kvm_irq_routing_entry *entry = malloc(size + 1);
    if (!entry)
        return -ENOMEM;
    long r = user_read(entry, arg->value + sizeof(*k), size) ? -EFAULT : irqchip_route(vm->chips, entry, k->nr);
    free(entry);
    return r;
}

/* -- events of the program -- */

static long irqfd(struct api_vm *vm, struct api_arg *arg)
{
    return irqfds_change(vm->irqfds, arg->data);
}

static long ioeventfd(struct api_vm *vm, struct api_arg *arg)
{
    return ioevents_change(vm->ioevents, arg->data);
}

static long register_coalesced(struct api_vm *vm, struct api_arg *arg)
{
    return coalesced_add(vm->coalesced, arg->data);
}

static long unregister_coalesced(struct api_vm *vm, struct api_arg *arg)
{
    return coalesced_remove(vm->coalesced, arg->data);
}

/* -- what the guest does -- */

static int pic_ack(void *opaque)
{
    return irqchip_ack(((struct api_vm *)opaque)->chips);
}

static void eoi(void *opaque, u8 vector)
{
    if (irqchip_eoi(((struct api_vm *)opaque)->chips, vector))
        run_eoi_exit(run_current(), vector);
}

static u64 value_of(const void *data, unsigned size)
{
    u64 value = 0;
    memcpy(&value, data, size);
    return value;
}

static bool mmio(struct api_vcpu *v, gpa_t gpa, void *data, unsigned size, bool write)
{
    struct api_vm *vm = v->vm;
    u64 value = value_of(data, size);
    if (write)
        return irqchip_mmio_write(vm->chips, gpa.a, value, size) ||
               ioevents_write(vm->ioevents, false, gpa.a, value, size) ||
               coalesced_write(vm->coalesced, false, gpa.a, data, size);
    if (!irqchip_mmio_read(vm->chips, gpa.a, size, &value))
        return false;
    memcpy(data, &value, size);
    return true;
}

static bool pio(struct api_vcpu *v, u16 port, void *data, unsigned size, bool write)
{
    struct api_vm *vm = v->vm;
    u32 value = (u32)value_of(data, size);
    if (write)
        return irqchip_io_write(vm->chips, port, value, size) ||
               ioevents_write(vm->ioevents, true, port, value, size) ||
               coalesced_write(vm->coalesced, true, port, data, size);
    if (!irqchip_io_read(vm->chips, port, size, &value))
        return false;
    memcpy(data, &value, size);
    return true;
}

/* -- the part -- */

static int vm_create(struct api_vm *vm)
{
    vm->chips = malloc(sizeof(*vm->chips));
    vm->irqfds = malloc(sizeof(*vm->irqfds));
    vm->ioevents = malloc(sizeof(*vm->ioevents));
    vm->coalesced = malloc(sizeof(*vm->coalesced));
    if (vm->chips)
        irqchip_init(vm->chips, vm->cpus);
    if (vm->ioevents)
        ioevents_init(vm->ioevents);
    if (vm->coalesced)
        coalesced_init(vm->coalesced);
    if (vm->irqfds && vm->chips)
        irqfds_init(vm->irqfds, vm->host, vm->chips);
    vm->machine.pic_ack = pic_ack;
    vm->machine.eoi = eoi;
    return vm->chips && vm->irqfds && vm->ioevents && vm->coalesced ? 0 : -ENOMEM;
}

static void vm_destroy(struct api_vm *vm)
{
    if (vm->irqfds && vm->chips)
        irqfds_destroy(vm->irqfds);
    if (vm->ioevents)
        ioevents_destroy(vm->ioevents);
    if (vm->coalesced)
        coalesced_destroy(vm->coalesced);
    if (vm->chips)
        irqchip_destroy(vm->chips);
    free(vm->irqfds);
    free(vm->ioevents);
    free(vm->coalesced);
    free(vm->chips);
}

/* The first vCPU has the ring of coalesced accesses. */
static int vcpu_create(struct api_vcpu *v)
{
    if (v->index == 0)
        v->vm->coalesced->ring = v->ring;
    return 0;
}

static void vcpu_destroy(struct api_vcpu *v)
{
    if (v->vm->coalesced && v->vm->coalesced->ring == v->ring)
        v->vm->coalesced->ring = NULL;
}

static const struct api_ioctl ioctls[] = {
    API_VM(KVM_CREATE_IRQCHIP, create_irqchip),
    API_VM(KVM_SET_BOOT_CPU_ID, set_boot_cpu_id),
    API_VM_UNLOCKED(KVM_GET_IRQCHIP, get_irqchip),
    API_VM_UNLOCKED(KVM_SET_IRQCHIP, set_irqchip),
    API_VM(KVM_CREATE_PIT, create_pit),
    API_VM(KVM_CREATE_PIT2, create_pit2),
    API_VM(KVM_GET_PIT, get_pit),
    API_VM(KVM_SET_PIT, set_pit),
    API_VM(KVM_GET_PIT2, get_pit2),
    API_VM(KVM_SET_PIT2, set_pit2),
    API_VM(KVM_REINJECT_CONTROL, reinject_control),
    API_VM_UNLOCKED(KVM_IRQ_LINE, irq_line_status),
    API_VM_UNLOCKED(KVM_IRQ_LINE_STATUS, irq_line_status),
    API_VM_UNLOCKED(KVM_SIGNAL_MSI, signal_msi),
    API_VM(KVM_SET_GSI_ROUTING, set_gsi_routing),
    API_VM(KVM_IRQFD, irqfd),
    API_VM(KVM_IOEVENTFD, ioeventfd),
    API_VM(KVM_REGISTER_COALESCED_MMIO, register_coalesced),
    API_VM(KVM_UNREGISTER_COALESCED_MMIO, unregister_coalesced),
    {0},
};

static const struct api_cap caps[] = {
    API_CAP(KVM_CAP_IRQCHIP, 1),
    API_CAP(KVM_CAP_SET_BOOT_CPU_ID, 1),
    API_CAP(KVM_CAP_SPLIT_IRQCHIP, 1, .enable_vm = enable_split),
    API_CAP(KVM_CAP_X2APIC_API, X2APIC_FLAGS, .enable_vm = enable_x2apic),
    API_CAP(KVM_CAP_IRQ_ROUTING, GSI_MAX),
    API_CAP(KVM_CAP_IRQ_INJECT_STATUS, 1),
    API_CAP(KVM_CAP_SIGNAL_MSI, 1),
    API_CAP(KVM_CAP_PIT, 1),
    API_CAP(KVM_CAP_PIT2, 1),
    API_CAP(KVM_CAP_PIT_STATE2, 1),
    API_CAP(KVM_CAP_REINJECT_CONTROL, 1),
    API_CAP(KVM_CAP_IRQFD, 1),
    API_CAP(KVM_CAP_IRQFD_RESAMPLE, 1),
    API_CAP(KVM_CAP_IOEVENTFD, 1),
    API_CAP(KVM_CAP_IOEVENTFD_NO_LENGTH, 1),
    API_CAP(KVM_CAP_IOEVENTFD_ANY_LENGTH, 1),
    API_CAP(KVM_CAP_COALESCED_MMIO, KVM_COALESCED_MMIO_PAGE_OFFSET),
    API_CAP(KVM_CAP_COALESCED_PIO, 1),
    {0},
};

const struct api_part interrupts_part = {
    .name = "interrupts",
    .ioctls = ioctls,
    .caps = caps,
    .vm_create = vm_create,
    .vm_destroy = vm_destroy,
    .vcpu_create = vcpu_create,
    .vcpu_destroy = vcpu_destroy,
    .mmio = mmio,
    .pio = pio,
};
