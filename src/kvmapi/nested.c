/*
 * KVM_GET_NESTED_STATE and KVM_SET_NESTED_STATE: VMX or SVM operation, with L2 in the middle of what it does. The
 * header is the kernel's; the VMCS or VMCB behind it is the engine's (accel/kvm_convert.h), and a VMCS of a kernel is
 * refused by its revision.
 */
#include "kvmapi/nested.h"

#include "accel/kvm_convert.h"
#include "kvmapi/registers.h"

#include <errno.h>
#include <stdlib.h>

static bool page_legal(const struct api_vcpu *v, u64 address)
{
    return !(address & PAGE_MASK) && !(address >> v->features.phys_bits);
}

/* Refuses what the kernel refuses of a VMX state before it looks at the VMCS. */
static int vmx_check(const struct api_vcpu *v, const struct kvm_nested_state *h)
{
    const struct kvm_vmx_nested_state_hdr *x = &h->hdr.vmx;
    bool vmcs = h->size >= sizeof(*h) + STATE_VMCS_SIZE, guest = h->flags & KVM_STATE_NESTED_GUEST_MODE;
    const u16 in_smm = KVM_STATE_NESTED_SMM_GUEST_MODE | KVM_STATE_NESTED_SMM_VMXON;
    if (cpu_in_smm(v->cpu) ? x->smm.flags & ~in_smm || guest : x->smm.flags)
        return -EINVAL;
    if (x->smm.flags == KVM_STATE_NESTED_SMM_GUEST_MODE || (x->smm.flags && x->vmxon_pa == STATE_NO_POINTER))
        return -EINVAL;
    if (x->flags & ~(u32)KVM_STATE_VMX_PREEMPTION_TIMER_DEADLINE || h->flags & KVM_STATE_NESTED_EVMCS)
        return -EINVAL;
    if (x->vmxon_pa == STATE_NO_POINTER)
        return x->vmcs12_pa != STATE_NO_POINTER || h->flags ? -EINVAL : 0;
    if (!features_have(&v->features, FEATURE_VMX) || !page_legal(v, x->vmxon_pa))
        return -EINVAL;
    if (!vmcs)
        return guest || x->vmcs12_pa != STATE_NO_POINTER ? -EINVAL : 0;
    return x->vmcs12_pa == x->vmxon_pa || !page_legal(v, x->vmcs12_pa) ? -EINVAL : 0;
}

static int svm_check(const struct api_vcpu *v, const struct kvm_nested_state *h, u64 efer)
{
    const u16 known = KVM_STATE_NESTED_GUEST_MODE | KVM_STATE_NESTED_RUN_PENDING | KVM_STATE_NESTED_GIF_SET;
    if (h->flags & ~known || (!(efer & EFER_SVME) && h->flags != KVM_STATE_NESTED_GIF_SET))
        return -EINVAL;
    if (!(h->flags & KVM_STATE_NESTED_GUEST_MODE))
        return 0;
    return !page_legal(v, h->hdr.svm.vmcb_pa) || h->size < sizeof(*h) + STATE_VMCS_SIZE ? -EINVAL : 0;
}

static int check(struct api_vcpu *v, const struct kvm_nested_state *h, const struct cpu_state *now)
{
    const u16 known = KVM_STATE_NESTED_GUEST_MODE | KVM_STATE_NESTED_RUN_PENDING | KVM_STATE_NESTED_EVMCS |
                      KVM_STATE_NESTED_MTF_PENDING | KVM_STATE_NESTED_GIF_SET;
    if (h->size < sizeof(*h) || h->flags & ~known ||
        (h->flags & KVM_STATE_NESTED_RUN_PENDING && !(h->flags & KVM_STATE_NESTED_GUEST_MODE)))
        return -EINVAL;
    bool svm = v->features.vendor == VENDOR_AMD;
    if (h->format != (svm ? KVM_STATE_NESTED_FORMAT_SVM : KVM_STATE_NESTED_FORMAT_VMX))
        return -EINVAL;
    return svm ? svm_check(v, h, now->efer) : vmx_check(v, h);
}

static long get_state(struct api_vcpu *v, struct api_arg *arg)
{
    struct kvm_nested_state *head = arg->data;
    struct cpu_state *s = registers_state(v, STATE_NESTED);
    struct kvm_nested_image *k = malloc(sizeof(*k));
    long e = s && k ? 0 : -ENOMEM;
    if (!e) {
        if (s->nested.kind == CPU_NESTED_NONE && v->features.vendor == VENDOR_AMD)
            s->nested.kind = CPU_NESTED_SVM;
        nested_to_kvm(&s->nested, k);
        u32 room = head->size, rest = k->head.size - (u32)sizeof(*head);
        if (room < k->head.size)
            e = user_write(arg->value + offsetof(struct kvm_nested_state, size), &k->head.size, 4) ? -EFAULT : -E2BIG;
        else if (rest && user_write(arg->value + sizeof(*head), k->data, rest))
            e = -EFAULT;
        *head = k->head;
    }
    free(k);
    free(s);
    return e;
}

static long take_state(struct api_vcpu *v, struct api_arg *arg, struct cpu_state *s, struct kvm_nested_image *k)
{
    const struct kvm_nested_state *head = arg->data;
    u8 kind = s->nested.kind;
    int e = check(v, head, s);
    if (e)
        return e;
    u32 rest = head->size - (u32)sizeof(*head);
    if (rest > sizeof(k->data))
        rest = sizeof(k->data);
    k->head = *head;
    k->head.size = (u32)sizeof(*head) + rest;
    if (rest && user_read(k->data, arg->value + sizeof(*head), rest))
        return -EFAULT;
    if (!nested_from_kvm(k, &s->nested))
        return -EINVAL;
    if (kind == CPU_NESTED_NONE && !s->nested.guest)
        s->nested.kind = CPU_NESTED_NONE;
    return api_state_set(v, s, STATE_NESTED);
}

static long set_state(struct api_vcpu *v, struct api_arg *arg)
{
    struct cpu_state *s = registers_state(v, STATE_NESTED | STATE_CONTROL);
    struct kvm_nested_image *k = calloc(1, sizeof(*k));
    long e = s && k ? take_state(v, arg, s, k) : -ENOMEM;
    free(k);
    free(s);
    return e;
}

static const struct api_ioctl ioctls[] = {
    API_VCPU(KVM_GET_NESTED_STATE, get_state),
    API_VCPU(KVM_SET_NESTED_STATE, set_state),
    {0},
};

static const struct api_cap caps[] = {
    API_CAP(KVM_CAP_NESTED_STATE, sizeof(struct kvm_nested_image)),
    {0},
};

const struct api_part nested_part = {.name = "nested", .ioctls = ioctls, .caps = caps};
