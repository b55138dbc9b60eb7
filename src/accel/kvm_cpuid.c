/*
 * The CPUID of guests under /dev/kvm: what KVM supports, less what the configuration takes away,
 * plus the topology (one package, one thread a core) and the APIC IDs. Called when a VM is made.
 *
 * Leaf numbers and fields: SDM vol. 2A "CPUID", APM vol. 3 "Obtaining Processor Information Via the
 * CPUID Instruction".
 */
#include "accel/kvm.h"
#include "cpu/cpu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define LEAF1_ECX_VMX BIT(5)
#define LEAF1_ECX_TSC_DEADLINE BIT(24)
#define LEAF1_ECX_HYPERVISOR BIT(31)
#define LEAF1_EDX_HTT BIT(28)
#define LEAF81_ECX_CMP_LEGACY BIT(1)
#define LEAF81_ECX_SVM BIT(2)
#define LEAF81_ECX_TOPOEXT BIT(22)

struct kvm_cpuid2 *kvm_supported_cpuid(int kvm_fd)
{
    struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + KVM_CPUID_ENTRIES * sizeof(c->entries[0]));
    if (!c)
        return NULL;
    c->nent = KVM_CPUID_ENTRIES;
    if (ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, c)) {
        free(c);
        return NULL;
    }
    return c;
}

struct kvm_cpuid_entry2 *kvm_cpuid_find(struct kvm_cpuid2 *c, u32 leaf, u32 sub)
{
    for (u32 i = 0; i < c->nent; i++) {
        struct kvm_cpuid_entry2 *e = &c->entries[i];
        if (e->function == leaf && (e->index == sub || !(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX)))
            return e;
    }
    return NULL;
}

/* The entry, made with zeros if KVM does not list it and there is room. */
static struct kvm_cpuid_entry2 *entry_make(struct kvm_cpuid2 *c, u32 leaf, u32 sub)
{
    struct kvm_cpuid_entry2 *e = kvm_cpuid_find(c, leaf, sub);
    if (e || c->nent == KVM_CPUID_ENTRIES)
        return e;
    e = &c->entries[c->nent++];
    *e = (struct kvm_cpuid_entry2){.function = leaf, .index = sub, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX};
    return e;
}

bool kvm_nests(struct kvm_cpuid2 *supported, enum nesting nested)
{
    const struct kvm_cpuid_entry2 *basic = kvm_cpuid_find(supported, 1, 0);
    const struct kvm_cpuid_entry2 *extended = kvm_cpuid_find(supported, 0x80000001, 0);
    if (nested == NESTED_INTEL)
        return basic && basic->ecx & LEAF1_ECX_VMX;
    if (nested == NESTED_AMD)
        return extended && extended->ecx & LEAF81_ECX_SVM;
    return true;
}

static u32 *entry_register(struct kvm_cpuid_entry2 *e, enum cpuid_reg reg)
{
    u32 *const r[] = {&e->eax, &e->ebx, &e->ecx, &e->edx};
    return r[reg];
}

static bool names_feature(const char *cpu, const char *name)
{
    size_t n = strlen(name);
    for (const char *s = strchr(cpu, '+'); s; s = strchr(s + 1, '+')) {
        if (strncmp(s + 1, name, n) == 0 && (s[n + 1] == ',' || !s[n + 1]))
            return true;
    }
    return false;
}

/* The model and its changes mean what they mean for the engine; KVM can only take away. */
static int model_apply(struct accel_vm *vm, struct error *error)
{
    static const struct {
        const char *name;
        u32 leaf, sub;
        enum cpuid_reg reg;
        u32 bit;
    } rows[] = {
#define X(id, name, leaf, sub, reg, bit, source, vendor, level, needs) {name, leaf, sub, CPUID_##reg, BIT(bit)},
        FEATURES(X)
#undef X
    };
    const struct kvm_cpuid_entry2 *top = kvm_cpuid_find(vm->cpuid, 0, 0);
    const struct kvm_cpuid_entry2 *sizes = kvm_cpuid_find(vm->cpuid, 0x80000008, 0);
    struct cpu_features *f = calloc(1, sizeof(*f));
    if (!f)
        return error_set(error, -ENOMEM, "not enough memory for a VM");
    struct cpuid_config c = {
        .vendor = top ? cpuid_vendor(top->ebx) : VENDOR_INTEL,
        .nested = vm->settings->nested != NESTED_OFF,
        .vcpus = vm->settings->cpus,
        .tsc_khz = 1000000,
        .phys_bits = sizes ? sizes->eax & 0xff : 36,
        .model = vm->settings->cpu,
    };
    int err = cpuid_create(f, &c, error);
    for (unsigned i = 0; !err && i < ARRAY_LEN(rows); i++) {
        struct kvm_cpuid_entry2 *e = kvm_cpuid_find(vm->cpuid, rows[i].leaf, rows[i].sub);
        u32 *r = e ? entry_register(e, rows[i].reg) : NULL;
        if (!features_have(f, (enum feature)i)) {
            if (r)
                *r &= ~rows[i].bit;
        } else if (!(r && *r & rows[i].bit) && names_feature(vm->settings->cpu, rows[i].name)) {
            err = error_set(error, -ENOTSUP, "the host's KVM does not offer the CPU feature %s", rows[i].name);
            error_hint(error, "use " SETTING("accel") " engine or leave it out");
        }
    }
    free(f);
    return err;
}

int kvm_cpuid_configure(struct accel_vm *vm, struct error *error)
{
    static const char *const extension[] = {"", "VT-x", "AMD-V"};
    vm->cpuid = kvm_supported_cpuid(vm->kvm_fd);
    if (!vm->cpuid)
        return error_set(error, -EIO, "KVM_GET_SUPPORTED_CPUID failed: %s", strerror(errno));
    enum nesting nested = vm->settings->nested;
    if (!kvm_nests(vm->cpuid, nested)) {
        error_set(error, -ENOTSUP, "the host's KVM does not give guests %s (its module may need nested=1)",
                  extension[nested]);
        return error_hint(error, kvm_use_engine);
    }
    struct kvm_cpuid_entry2 *e = kvm_cpuid_find(vm->cpuid, 1, 0);
    if (!e) {
        error_set(error, -ENOTSUP, "the host's KVM reports no CPUID leaf 1");
        return error_hint(error, kvm_use_engine);
    }
    e->ecx |= LEAF1_ECX_HYPERVISOR;
    if (nested != NESTED_INTEL)
        e->ecx &= ~LEAF1_ECX_VMX;
    if (ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0)
        e->ecx |= LEAF1_ECX_TSC_DEADLINE;
    e = kvm_cpuid_find(vm->cpuid, 0x80000001, 0);
    if (e && nested != NESTED_AMD)
        e->ecx &= ~LEAF81_ECX_SVM;
    e = kvm_cpuid_find(vm->cpuid, 0x8000000a, 0);
    if (e && nested != NESTED_AMD)
        e->eax = e->ebx = e->ecx = e->edx = 0;
    return vm->settings->cpu ? model_apply(vm, error) : 0;
}

static u32 id_bits(u32 n)
{
    u32 bits = 0;
    while ((1u << bits) < n)
        bits++;
    return bits;
}

/* Levels of leaves 0Bh and 1Fh: a thread, then the cores of the package. */
static void topology_fill(struct kvm_cpuid2 *c, u32 leaf, u32 index, u32 vcpus)
{
    if (!kvm_cpuid_find(c, leaf, 0))
        return;
    for (u32 sub = 0; sub < 3; sub++) {
        struct kvm_cpuid_entry2 *e = entry_make(c, leaf, sub);
        if (!e)
            return;
        e->index = sub;
        e->flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
        e->eax = sub == 1 ? id_bits(vcpus) : 0;
        e->ebx = sub == 0 ? 1 : sub == 1 ? vcpus : 0;
        e->ecx = sub | (sub < 2 ? (sub + 1) << 8 : 0);
        e->edx = index;
    }
}

/* Leaves 4 and 8000001Dh: the caches of the first two levels are a core's own, those above shared
 * by all. */
static void cache_fill(struct kvm_cpuid_entry2 *e, bool intel, u32 vcpus)
{
    u32 level = e->eax >> 5 & 7, ids = 1u << id_bits(vcpus);
    if (!(e->eax & 0x1f))
        return;
    e->eax = (e->eax & 0x3fff) | (level >= 3 ? ids - 1 : 0) << 14;
    if (intel)
        e->eax |= (ids > 64 ? 63 : ids - 1) << 26;
}

int kvm_cpuid_set(struct accel_vm *vm, u32 index)
{
    u32 vcpus = vm->settings->cpus, ids = 1u << id_bits(vcpus);
    struct kvm_cpuid2 *c = vm->cpuid;
    topology_fill(c, 0xb, index, vcpus);
    topology_fill(c, 0x1f, index, vcpus);
    for (u32 i = 0; i < c->nent; i++) {
        struct kvm_cpuid_entry2 *e = &c->entries[i];
        switch (e->function) {
        case 1:
            e->ebx = (e->ebx & 0xffff) | (ids > 255 ? 255 : ids) << 16 | index << 24;
            e->edx = vcpus > 1 ? e->edx | LEAF1_EDX_HTT : e->edx & ~LEAF1_EDX_HTT;
            break;
        case 4:
        case 0x8000001d: cache_fill(e, e->function == 4, vcpus); break;
        case 0x80000001:
            e->ecx = vcpus > 1 && e->ecx & LEAF81_ECX_TOPOEXT ? e->ecx | LEAF81_ECX_CMP_LEGACY
                                                              : e->ecx & ~LEAF81_ECX_CMP_LEGACY;
            break;
        case 0x80000008: e->ecx = (e->ecx & ~0xf0ffu) | id_bits(vcpus) << 12 | (vcpus - 1); break;
        case 0x8000001e:
            e->eax = index;
            e->ebx = index & 0xff;
            e->ecx = 0;
            break;
        }
    }
    return ioctl(vm->vcpu[index].fd, KVM_SET_CPUID2, c) ? -errno : 0;
}
