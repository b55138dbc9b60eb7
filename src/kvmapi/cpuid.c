/*
 * CPUID by the API: what is offered, and what a vCPU shows.
 */
#include "kvmapi/cpuid.h"

#include "accel/engine_host.h"
#include "kvmapi/paravirt.h"
#include "kvmapi/settings.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PHYS_BITS 46

int cpuid_offered(struct cpu_features *f)
{
    const struct api_settings *s = api_settings();
    const struct cpuid_config config = {.vendor = s->amd ? VENDOR_AMD : VENDOR_INTEL,
                                        .nested = s->nested,
                                        .vcpus = 1,
                                        .tsc_khz = api_tsc_khz(),
                                        .phys_bits = PHYS_BITS,
                                        .model = s->cpu ? s->cpu : "max"};
    struct error error;
    int e = cpuid_create(f, &config, &error);
    if (e)
        fprintf(stderr, "nestbox kvm: %s\n", error.text);
    else
        paravirt_leaves(f);
    return e;
}

static long get_supported(struct api_arg *arg)
{
    struct kvm_cpuid2 *head = arg->data;
    struct cpu_features f;
    if (cpuid_offered(&f))
        return -EINVAL;
    if (head->nent < f.leaf_count)
        return -E2BIG;
    head->nent = f.leaf_count;
    for (u32 i = 0; i < f.leaf_count; i++) {
        const struct cpuid_leaf *l = &f.leaf[i];
        bool indexed = l->leaf == 4 || l->leaf == 7 || l->leaf == 0xb || l->leaf == 0xd || l->leaf == 0x1f ||
                       l->leaf == 0x8000001d;
        const struct kvm_cpuid_entry2 e = {.function = l->leaf,
                                           .index = l->sub,
                                           .flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
                                           .eax = l->r[0],
                                           .ebx = l->r[1],
                                           .ecx = l->r[2],
                                           .edx = l->r[3]};
        if (user_write(arg->value + sizeof(*head) + i * sizeof(e), &e, sizeof(e)))
            return -EFAULT;
    }
    return 0;
}

/* The simplest that works: leaves as given, features as offered. */
static long set_cpuid2(struct api_vcpu *v, struct api_arg *arg)
{
    const struct kvm_cpuid2 *head = arg->data;
    struct cpu_features f = v->features;
    if (head->nent > CPUID_LEAVES)
        return -E2BIG;
    f.leaf_count = head->nent;
    for (u32 i = 0; i < head->nent; i++) {
        struct kvm_cpuid_entry2 e;
        if (user_read(&e, arg->value + sizeof(*head) + i * sizeof(e), sizeof(e)))
            return -EFAULT;
        f.leaf[i] = (struct cpuid_leaf){e.function, e.index, {e.eax, e.ebx, e.ecx, e.edx}};
    }
    v->features = f;
    return cpu_features_set(v->cpu, &v->features);
}

static const struct api_ioctl ioctls[] = {
    API_SYSTEM(KVM_GET_SUPPORTED_CPUID, get_supported),
    API_VCPU(KVM_SET_CPUID2, set_cpuid2),
    {0},
};

static const struct api_cap caps[] = {
    API_CAP(KVM_CAP_EXT_CPUID, 1),
    {0},
};

const struct api_part cpuid_part = {.name = "cpuid", .ioctls = ioctls, .caps = caps};
