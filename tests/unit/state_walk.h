/*
 * The state of a vCPU by named registers: each bit of each register is tried. Either the state is taken, and all of it
 * reads back as it was set, or it is refused with a register's name, and nothing has changed.
 */
#ifndef TESTS_UNIT_STATE_WALK_H
#define TESTS_UNIT_STATE_WALK_H

#include "unit/core.h"
#include "unit/test.h"

#include <errno.h>

static struct vcpu *v;
static struct cpu_state before, after, tried;

static void *member(struct cpu_state *s, const struct cpu_register *r, u32 i)
{
    return (char *)s + r->offset + i * r->size;
}

/* CR8 and the APIC's TPR are one register, and the APIC's mode says how ID and LDR look. */
static bool is_coupled(const char *name)
{
    return strcmp(name, "cr8") == 0 || strcmp(name, "apic_base") == 0 || strcmp(name, "apic.tpr") == 0;
}

/* Returns the first register in `groups` that differs, or NULL. Time goes on, and what is derived may follow. */
static const char *difference(struct cpu_state *a, struct cpu_state *b, u64 groups)
{
    const struct cpu_register *r;
    for (unsigned i = 0; (r = cpu_register(i)); i++)
        if (!r->derived && r->group & groups & ~STATE_TIME &&
            memcmp(member(a, r, 0), member(b, r, 0), (size_t)r->size * r->count) != 0)
            return r->name;
    for (u32 i = 0; i < a->msrs; i++)
        if (a->msr[i].index != b->msr[i].index || a->msr[i].value != b->msr[i].value)
            return "an MSR";
    return a->msrs == b->msrs ? NULL : "msrs";
}

static void get_all(struct cpu_state *s)
{
    memset(s, 0x5a, sizeof(*s));
    s->msrs = 0;
    CHECK_EQ(cpu_state_get(v, s, STATE_ALL), STATE_ALL);
}

/* Tries to set `group` of `tried`. Returns true if it was taken. */
static bool attempt(u64 group, const char *name)
{
    const char *bad = "", *differs;
    int e = cpu_state_set(v, &tried, group, &bad);
    CHECK(e == 0 ? !bad : e == -EINVAL && bad && *bad);
    get_all(&after);
    differs = difference(e ? &before : &tried, &after, is_coupled(name) ? group : STATE_ALL);
    if (differs) {
        printf("# %s was %s: %s differs\n", name, e ? "refused" : "taken", differs);
        CHECK(!"the state is as expected");
    }
    if (!e)
        CHECK_EQ(cpu_state_set(v, &before, group | (is_coupled(name) ? STATE_CONTROL | STATE_APIC : 0), &bad), 0);
    return e == 0;
}

/* Bytes of components that the image does not have are not kept. */
static bool xsave_is_kept(u32 byte)
{
    return byte < 24 || (byte >= 32 && byte < 416) || (byte >= 24 && byte < 28);
}

/* What the other vendor's extension has. */
static bool is_foreign(const char *name)
{
    return strncmp(name, vm.vendor == VENDOR_AMD ? "vmx." : "svm.", 4) == 0;
}

/* Returns how many values were taken. Of long runs one bit per byte is tried. */
static unsigned walk_registers(u64 groups)
{
    const struct cpu_register *r;
    unsigned taken = 0;
    get_all(&before);
    for (unsigned i = 0; (r = cpu_register(i)); i++) {
        if (r->derived || r->group == STATE_TIME || !(r->group & groups) || is_foreign(r->name))
            continue;
        for (u32 k = 0; k < r->count; k++) {
            if (r->count == STATE_XSAVE_SIZE && !xsave_is_kept(k))
                continue;
            for (u32 bit = 0; bit < (r->flag ? 1 : r->size * 8); bit++) {
                if (r->count > 64 && bit != k % 8)
                    continue;
                tried = before;
                ((u8 *)member(&tried, r, k))[bit / 8] ^= (u8)(1 << bit % 8);
                taken += attempt(r->group, r->name);
            }
        }
    }
    return taken;
}

#endif
