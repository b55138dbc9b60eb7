/*
 * CPUID by the API: what is offered at most, and what a vCPU shows.
 */
#include "kvmapi/cpuid.h"

#include "accel/engine_host.h"
#include "kvmapi/paravirt.h"
#include "kvmapi/settings.h"
#include "x86/xsave.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PHYS_BITS 46

/*
 * Programs take the place of each component of the XSAVE image from the CPUID instruction (QEMU does), where a host
 * without protection keys has none for PKRU. So the engine's is not offered there.
 */
static const char *model(const char *asked, char *buf, size_t size)
{
    u32 a, b, c, d;
    asked = asked ? asked : "max";
    __asm__ volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(0xd), "c"(XSTATE_PKRU));
    if (a)
        return asked;
    snprintf(buf, size, "%s,-pku", asked);
    return buf;
}

int cpuid_offered(struct cpu_features *f)
{
    const struct api_settings *s = api_settings();
    char buf[512];
    const struct cpuid_config config = {.vendor = s->amd ? VENDOR_AMD : VENDOR_INTEL,
                                        .nested = s->nested,
                                        .vcpus = 1,
                                        .tsc_khz = api_tsc_khz(),
                                        .phys_bits = PHYS_BITS,
                                        .model = model(s->cpu, buf, sizeof(buf))};
    struct error error;
    int e = cpuid_create(f, &config, &error);
    if (e)
        fprintf(stderr, "nestbox kvm: %s\n", error.text);
    else
        paravirt_leaves(f);
    return e;
}

#define LEAF1_ECX_MONITOR BIT(3)
#define LEAF1_ECX_TSC_DEADLINE BIT(24)
#define LEAF7_ECX_RDPID BIT(22)

static struct kvm_cpuid_entry2 entry_of(const struct cpuid_leaf *l)
{
    return (struct kvm_cpuid_entry2){.function = l->leaf,
                                     .index = l->sub,
                                     .flags = cpuid_has_subleaves(l->leaf) ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
                                     .eax = l->r[0],
                                     .ebx = l->r[1],
                                     .ecx = l->r[2],
                                     .edx = l->r[3]};
}

/* Writes the leaves behind the head that the program gave, which becomes their number. */
static long leaves_give(const struct cpuid_leaf *leaf, u32 count, struct api_arg *arg)
{
    struct kvm_cpuid2 *head = arg->data;
    if (head->nent < count)
        return -E2BIG;
    head->nent = count;
    for (u32 i = 0; i < count; i++) {
        const struct kvm_cpuid_entry2 e = entry_of(&leaf[i]);
        if (user_write(arg->value + sizeof(*head) + i * sizeof(e), &e, sizeof(e)))
            return -EFAULT;
    }
    return 0;
}

/*
 * As from the kernel, without what depends on who has the local APICs and who handles HLT and MWAIT: the TSC-deadline
 * timer has a capability, and MONITOR is not offered.
 */
static long get_supported(struct api_arg *arg)
{
    struct cpu_features f;
    if (cpuid_offered(&f))
        return -EINVAL;
    for (u32 i = 0; i < f.leaf_count; i++)
        if (f.leaf[i].leaf == 1)
            f.leaf[i].r[CPUID_ECX] &= ~(LEAF1_ECX_MONITOR | LEAF1_ECX_TSC_DEADLINE);
    return leaves_give(f.leaf, f.leaf_count, arg);
}

/* What the CPU has though KVM_GET_SUPPORTED_CPUID does not show it. */
static long get_emulated(struct api_arg *arg)
{
    static const struct cpuid_leaf leaf[] = {
        {.leaf = 0, .r = {7}}, {.leaf = 1}, {.leaf = 7, .r = {[CPUID_ECX] = LEAF7_ECX_RDPID}}};
    return leaves_give(leaf, ARRAY_LEN(leaf), arg);
}

/* -- of a vCPU -- */

/* Bits that follow the vCPU's registers: OSXSAVE and the APIC's, OSPKE, the sizes of XSAVE areas. */
static const struct cpuid_leaf varying[] = {
    {.leaf = 1, .r = {[CPUID_ECX] = BIT(27), [CPUID_EDX] = BIT(9)}},
    {.leaf = 7, .r = {[CPUID_ECX] = BIT(4)}},
    {.leaf = 0xd, .r = {[CPUID_EBX] = ~0u}},
    {.leaf = 0xd, .sub = 1, .r = {[CPUID_EBX] = ~0u}},
    {.leaf = 0x80000001, .r = {[CPUID_EDX] = BIT(9)}},
};

static bool leaf_equal(const struct cpuid_leaf *a, const struct cpuid_leaf *b)
{
    static const u32 none[4];
    const u32 *varies = none;
    for (unsigned i = 0; i < ARRAY_LEN(varying); i++)
        if (varying[i].leaf == a->leaf && varying[i].sub == a->sub)
            varies = varying[i].r;
    bool same = a->leaf == b->leaf && a->sub == b->sub;
    for (unsigned i = 0; i < 4; i++)
        same = same && !((a->r[i] ^ b->r[i]) & ~varies[i]);
    return same;
}

static bool leaves_equal(const struct cpu_features *a, const struct cpu_features *b)
{
    bool same = a->leaf_count == b->leaf_count;
    for (u32 i = 0; same && i < a->leaf_count; i++)
        same = leaf_equal(&a->leaf[i], &b->leaf[i]);
    return same;
}

/* Checks the width of linear addresses, by which the engine checks them. */
static bool widths_legal(const struct cpuid_leaf *leaf, u32 count)
{
    for (u32 i = 0; i < count; i++) {
        u32 linear = leaf[i].r[CPUID_EAX] >> 8 & 0xff;
        if (leaf[i].leaf == 0x80000008 && linear && linear != 48 && linear != 57)
            return false;
    }
    return true;
}

/*
 * Says once that the program's CPU has another vendor than the one whose extensions it was offered: QEMU takes the
 * vendor from the host's CPUID instruction, and firmware and kernels then fail in ways that do not show why.
 */
static void vendor_compare(const struct cpu_features *f)
{
    static const struct {
        const char *name, *extensions;
    } of[] = {[VENDOR_INTEL] = {"GenuineIntel", "VT-x"}, [VENDOR_AMD] = {"AuthenticAMD", "AMD-V"}};
    static bool said;
    const struct api_settings *s = api_settings();
    enum vendor offered = s->amd ? VENDOR_AMD : VENDOR_INTEL;
    if (!s->nested || !f->leaf_count || f->vendor == offered || __atomic_exchange_n(&said, true, __ATOMIC_RELAXED))
        return;
    fprintf(
        stderr,
        "nestbox kvm: the program's CPU is %s, which does not go with the %s that it is offered: the guest may reset "
        "for ever; QEMU needs -cpu host,vendor=%s, or start it by nestbox qemu\n",
        of[f->vendor].name, of[offered].extensions, of[offered].name);
}

/* Takes any leaves until the vCPU has run; after that only those that are the same already. */
static long leaves_take(struct api_vcpu *v, const struct cpuid_leaf *leaf, u32 count)
{
    const struct api_settings *s = api_settings();
    const struct cpuid_config config = {.nested = s->nested, .vcpus = 1, .tsc_khz = api_tsc_khz()};
    if (!widths_legal(leaf, count))
        return -EINVAL;
    struct cpu_features *f = malloc(sizeof(*f));
    if (!f)
        return -ENOMEM;
    cpuid_from_leaves(f, &config, leaf, count);
    vendor_compare(f);
    long e = 0;
    if (v->exits) {
        e = leaves_equal(f, &v->features) ? 0 : -EINVAL;
    } else {
        struct cpu_features before = v->features;
        v->features = *f;
        e = cpu_features_set(v->cpu, &v->features);
        if (e)
            v->features = before;
        else
            v->vm->features = *f; /* vCPUs that are added later have what these have */
    }
    free(f);
    return e;
}

static long set_cpuid2(struct api_vcpu *v, struct api_arg *arg)
{
    const struct kvm_cpuid2 *head = arg->data;
    struct cpuid_leaf leaf[CPUID_LEAVES];
    if (head->nent > CPUID_LEAVES)
        return -E2BIG;
    for (u32 i = 0; i < head->nent; i++) {
        struct kvm_cpuid_entry2 e;
        if (user_read(&e, arg->value + sizeof(*head) + i * sizeof(e), sizeof(e)))
            return -EFAULT;
        leaf[i] = (struct cpuid_leaf){e.function, e.index, {e.eax, e.ebx, e.ecx, e.edx}};
    }
    return leaves_take(v, leaf, head->nent);
}

static long set_cpuid(struct api_vcpu *v, struct api_arg *arg)
{
    const struct kvm_cpuid *head = arg->data;
    struct cpuid_leaf leaf[CPUID_LEAVES];
    if (head->nent > CPUID_LEAVES)
        return -E2BIG;
    for (u32 i = 0; i < head->nent; i++) {
        struct kvm_cpuid_entry e;
        if (user_read(&e, arg->value + sizeof(*head) + i * sizeof(e), sizeof(e)))
            return -EFAULT;
        leaf[i] = (struct cpuid_leaf){e.function, 0, {e.eax, e.ebx, e.ecx, e.edx}};
    }
    return leaves_take(v, leaf, head->nent);
}

/* Returns the leaves with the bits that follow the vCPU's registers, as they are now. */
static long get_cpuid2(struct api_vcpu *v, struct api_arg *arg)
{
    struct cpuid_leaf leaf[CPUID_LEAVES];
    u32 count = v->features.given ? v->features.leaf_count : 0;
    for (u32 i = 0; i < count; i++) {
        leaf[i] = v->features.leaf[i];
        cpu_cpuid(v->cpu, leaf[i].leaf, leaf[i].sub, leaf[i].r);
    }
    return leaves_give(leaf, count, arg);
}

static const struct api_ioctl ioctls[] = {
    API_SYSTEM(KVM_GET_SUPPORTED_CPUID, get_supported),
    API_SYSTEM(KVM_GET_EMULATED_CPUID, get_emulated),
    API_VCPU(KVM_SET_CPUID2, set_cpuid2),
    API_VCPU(KVM_SET_CPUID, set_cpuid),
    API_VCPU(KVM_GET_CPUID2, get_cpuid2),
    {0},
};

static const struct api_cap caps[] = {
    API_CAP(KVM_CAP_EXT_CPUID, 1),
    API_CAP(KVM_CAP_EXT_EMUL_CPUID, 1),
    API_CAP(KVM_CAP_TSC_DEADLINE_TIMER, 1),
    {0},
};

const struct api_part cpuid_part = {.name = "cpuid", .ioctls = ioctls, .caps = caps};
