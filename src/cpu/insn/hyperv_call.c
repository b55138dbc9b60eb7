/*
 * Hyper-V's hypercalls: flushes of TLBs, interrupts to several vCPUs, long waits for locks; messages and events go to
 * the caller of cpu_run. A guest makes them by the page of the hypercall MSR, with VMCALL or VMMCALL.
 * Source: TLFS, "Hypercall Interface", "Virtual MMU and Address Spaces", "Virtual Interrupts".
 */
#include "cpu/core/exclusive.h"
#include "cpu/core/world.h"
#include "cpu/event/lapic.h"
#include "cpu/insn/hyperv.h"
#include "cpu/mmu/mmu.h"

#define BANKS_MAX 4 /* of 64 vCPUs: CPU_VCPUS_MAX */
#define XMM_INPUTS 6

struct call {
    u64 input;               /* the control word */
    u64 param[2];            /* addresses of input and output, or, of a fast call, the input itself */
    u64 xmm[2 * XMM_INPUTS]; /* what else is input of a fast call */
};

struct set {
    bool all;
    u64 bank[BANKS_MAX];
};

bool hyperv_calls(const struct vcpu *v)
{
    return v->hv.shown && v->vm->hv.os_id;
}

static bool is_wide(const struct vcpu *v)
{
    return in_64bit(v);
}

static u64 pair(const struct vcpu *v, enum gpr high, enum gpr low)
{
    return v->gpr[high] << 32 | (u32)v->gpr[low];
}

static void read_xmm(struct call *c)
{
    __asm__ volatile("movups %%xmm0, %0\n"
                     "movups %%xmm1, 16+%0\n"
                     "movups %%xmm2, 32+%0\n"
                     "movups %%xmm3, 48+%0\n"
                     "movups %%xmm4, 64+%0\n"
                     "movups %%xmm5, 80+%0\n"
                     : "=m"(c->xmm));
}

static bool has(const struct vcpu *v, u16 code)
{
    const struct hyperv *h = &v->hv;
    u32 recommended = h->recommended[CPUID_EAX], spins = h->recommended[CPUID_EBX];
    if (!h->enforce)
        return true;
    switch (code) {
    case HYPERV_CALL_SPIN: return spins && spins != ~0u;
    case HYPERV_CALL_POST_MESSAGE: return h->features[CPUID_EBX] & HYPERV_MAY_POST;
    case HYPERV_CALL_SIGNAL_EVENT: return h->features[CPUID_EBX] & HYPERV_MAY_SIGNAL;
    case HYPERV_CALL_DEBUG_POST ... HYPERV_CALL_DEBUG_RESET:
        return !h->debugging || h->features[CPUID_EBX] & HYPERV_MAY_DEBUG;
    case HYPERV_CALL_FLUSH_LIST:
    case HYPERV_CALL_FLUSH_SPACE: return recommended & HYPERV_USE_TLB_FLUSH;
    case HYPERV_CALL_FLUSH_LIST_EX:
    case HYPERV_CALL_FLUSH_SPACE_EX: return recommended & HYPERV_USE_TLB_FLUSH && recommended & HYPERV_USE_SPARSE_SETS;
    case HYPERV_CALL_SEND_IPI: return recommended & HYPERV_USE_IPI;
    case HYPERV_CALL_SEND_IPI_EX: return recommended & HYPERV_USE_IPI && recommended & HYPERV_USE_SPARSE_SETS;
    default: return true;
    }
}

/* Up to 8 words of input: from memory, or what a fast call has in registers. False: there is no memory. */
static bool words_read(struct vcpu *v, const struct call *c, unsigned first, unsigned count, u64 *words)
{
    if (c->input & HYPERV_CALL_FAST) {
        for (unsigned i = first; i < first + count; i++) {
            if (i >= 2 + 2 * XMM_INPUTS)
                return false;
            *words++ = i < 2 ? c->param[i] : c->xmm[i - 2];
        }
        return true;
    }
    gpa_t at = GPA(c->param[0] + first * 8);
    if (!count)
        return true;
    if (!vcpu_ram(v, at) || !vcpu_ram(v, GPA(at.a + count * 8 - 1)))
        return false;
    phys_read(v, at, words, count * 8);
    return true;
}

/* A sparse set: format and mask of banks, then the banks, from word `first` of the input on. */
static bool set_read(struct vcpu *v, const struct call *c, unsigned first, struct set *s)
{
    u64 head[2], banks[BANKS_MAX];
    unsigned variable = HYPERV_CALL_VARIABLE(c->input), n = 0;
    if (!words_read(v, c, first, 2, head) || variable != (unsigned)__builtin_popcountll(head[1]) || variable > 64)
        return false;
    *s = (struct set){.all = head[0] != HYPERV_SET_SPARSE};
    if (s->all)
        return true;
    if (c->input & HYPERV_CALL_FAST && first + 2 + variable > 2 + 2 * XMM_INPUTS)
        return false;
    if (!words_read(v, c, first + 2, variable < BANKS_MAX ? variable : BANKS_MAX, banks))
        return false;
    for (unsigned i = 0; i < 64 && n < BANKS_MAX; i++)
        if (head[1] >> i & 1) {
            if (i < BANKS_MAX)
                s->bank[i] = banks[n];
            n++;
        }
    return true;
}

static bool in_set(const struct set *s, const struct vcpu *v)
{
    u64 vp = v->hv.vp_index;
    return s->all || (vp < BANKS_MAX * 64 && s->bank[vp / 64] >> (vp % 64) & 1);
}

/* When the call returns no vCPU of the set uses what it translated before. */
static void flush(struct vcpu *v, const struct set *s)
{
    bool others = false;
    for (u32 i = 0; i < v->vm->vcpu_count; i++)
        others = others || (v->vm->vcpu[i] != v && in_set(s, v->vm->vcpu[i]));
    if (others) {
        exclusive_begin(v);
        for (u32 i = 0; i < v->vm->vcpu_count; i++) {
            struct vcpu *other = v->vm->vcpu[i];
            if (other == v || !in_set(s, other))
                continue;
            __atomic_store_n(&other->hv.flush, true, __ATOMIC_SEQ_CST);
            request_add(other, REQ_PARAVIRT);
        }
        exclusive_end(v);
    }
    if (in_set(s, v))
        mmu_flush_all(v);
}

static u64 flush_call(struct vcpu *v, const struct call *c, bool sparse)
{
    u64 words[3]; /* address space, flags, and a mask of vCPUs unless there is a sparse set */
    struct set s;
    if (!words_read(v, c, 0, sparse ? 2 : 3, words))
        return HYPERV_INVALID_INPUT;
    if (sparse) {
        if (!set_read(v, c, 2, &s))
            return HYPERV_INVALID_INPUT;
    } else {
        /* Windows Server 2012 means all by none. */
        s = (struct set){.all = words[1] & HYPERV_FLUSH_ALL_CPUS || !words[2], .bank = {words[2]}};
    }
    flush(v, &s);
    return HYPERV_SUCCESS | (u64)HYPERV_CALL_COUNT(c->input) << HYPERV_DONE_SHIFT;
}

static u64 ipi_call(struct vcpu *v, const struct call *c, bool sparse)
{
    u64 words[2]; /* the vector, and a mask of vCPUs unless there is a sparse set */
    struct set s;
    if (v->vm->apics == CPU_APICS_CALLER || !words_read(v, c, 0, sparse ? 1 : 2, words))
        return HYPERV_INVALID_INPUT;
    if (sparse) {
        if (!set_read(v, c, 1, &s))
            return HYPERV_INVALID_INPUT;
        if (!s.all && !HYPERV_CALL_VARIABLE(c->input)) /* to nobody: the vector does not matter */
            return HYPERV_SUCCESS;
    } else {
        s = (struct set){.bank = {words[1]}};
    }
    if ((!sparse && words[0] >> 32 && c->input & HYPERV_CALL_FAST) || (u32)words[0] < 0x10 || (u32)words[0] > 0xff)
        return HYPERV_INVALID_INPUT;
    for (u32 i = 0; i < v->vm->vcpu_count; i++) {
        const struct vcpu *other = v->vm->vcpu[i];
        const struct apic_message m = {
            .dest = other->apic_id, .x2apic_dest = true, .mode = DELIVER_FIXED, .vector = (u8)words[0]};
        if (in_set(&s, other))
            apic_deliver(v->vm, &m);
    }
    return HYPERV_SUCCESS;
}

/* How a call may be made: with repetitions or without, with a variable header or without. */
static bool form_legal(const struct call *c)
{
    bool variable = HYPERV_CALL_VARIABLE(c->input);
    unsigned count = HYPERV_CALL_COUNT(c->input), start = HYPERV_CALL_START(c->input);
    switch (HYPERV_CALL_CODE(c->input)) {
    case HYPERV_CALL_FLUSH_LIST: return !variable && count && !start;
    case HYPERV_CALL_FLUSH_LIST_EX: return count && !start;
    case HYPERV_CALL_FLUSH_SPACE_EX:
    case HYPERV_CALL_SEND_IPI_EX: return !count && !start;
    default: return !variable && !count && !start;
    }
}

static void finish(struct vcpu *v, bool wide, u64 result)
{
    v->gpr[RAX] = wide ? result : (u32)result;
    if (!wide)
        v->gpr[RDX] = result >> 32;
}

void hyperv_call_finish(struct vcpu *v, u64 result)
{
    finish(v, v->exit_hyperv.wide, result);
}

static enum outcome leave(struct vcpu *v, const struct call *c)
{
    v->exit_hyperv = (struct cpu_exit_hyperv){
        .kind = CPU_HYPERV_CALL, .input = c->input, .param = {c->param[0], c->param[1]}, .wide = is_wide(v)};
    v->rip = v->next_rip;
    v->exit = CPU_EXIT_HYPERV;
    return CPU_EXIT;
}

static bool takes_xmm(u16 code)
{
    return code == HYPERV_CALL_FLUSH_LIST || code == HYPERV_CALL_FLUSH_SPACE || code == HYPERV_CALL_FLUSH_LIST_EX ||
           code == HYPERV_CALL_FLUSH_SPACE_EX || code == HYPERV_CALL_SEND_IPI_EX;
}

static bool is_known(u16 code)
{
    return takes_xmm(code) || code == HYPERV_CALL_SPIN || code == HYPERV_CALL_SEND_IPI ||
           code == HYPERV_CALL_POST_MESSAGE || code == HYPERV_CALL_SIGNAL_EVENT;
}

/* HYPERV_SUCCESS: it is the caller's. */
static u64 debug_refusal(const struct vcpu *v, const struct call *c)
{
    if (!v->hv.debugging)
        return HYPERV_INVALID_CODE;
    if (HYPERV_CALL_CODE(c->input) != HYPERV_CALL_DEBUG_RESET && c->input & HYPERV_CALL_FAST)
        return HYPERV_INVALID_PARAMETER;
    return v->vm->hv.debug[5] & HYPERV_DEBUG_BY_CALLS ? HYPERV_SUCCESS : HYPERV_OPERATION_DENIED;
}

static u64 perform(struct vcpu *v, const struct call *c)
{
    switch (HYPERV_CALL_CODE(c->input)) {
    case HYPERV_CALL_SPIN: world_yield(v); return HYPERV_SUCCESS;
    case HYPERV_CALL_FLUSH_LIST:
    case HYPERV_CALL_FLUSH_SPACE: return flush_call(v, c, false);
    case HYPERV_CALL_FLUSH_LIST_EX:
    case HYPERV_CALL_FLUSH_SPACE_EX: return flush_call(v, c, true);
    case HYPERV_CALL_SEND_IPI: return ipi_call(v, c, false);
    default: return ipi_call(v, c, true);
    }
}

enum outcome hyperv_call(struct vcpu *v)
{
    bool wide = is_wide(v);
    if (v->cpl || !in_protected(v))
        return raise_ud(v);
    struct call c = {.input = wide ? v->gpr[RCX] : pair(v, RDX, RAX),
                     .param = {wide ? v->gpr[RDX] : pair(v, RBX, RCX), wide ? v->gpr[R8] : pair(v, RDI, RSI)}};
    u16 code = HYPERV_CALL_CODE(c.input);
    u64 result;
    if (c.input & HYPERV_CALL_FAST && takes_xmm(code)) {
        if (!hyperv_has(v, v->hv.features[CPUID_EDX], HYPERV_HAS_XMM_INPUT) && has(v, code) &&
            !(c.input & HYPERV_CALL_RESERVED))
            return raise_ud(v);
        read_xmm(&c);
    }
    bool debug = code >= HYPERV_CALL_DEBUG_POST && code <= HYPERV_CALL_DEBUG_RESET;
    bool leaves = debug || code == HYPERV_CALL_POST_MESSAGE || code == HYPERV_CALL_SIGNAL_EVENT;
    if (!has(v, code))
        result = HYPERV_ACCESS_DENIED;
    else if (c.input & HYPERV_CALL_RESERVED)
        result = HYPERV_INVALID_INPUT;
    else if (debug && (result = debug_refusal(v, &c)) != HYPERV_SUCCESS)
        ;
    else if (!debug && !is_known(code))
        result = HYPERV_INVALID_CODE;
    else if (!debug && !form_legal(&c))
        result = HYPERV_INVALID_INPUT;
    else if (leaves)
        return leave(v, &c);
    else
        result = perform(v, &c);
    finish(v, wide, result);
    return CPU_OK;
}
