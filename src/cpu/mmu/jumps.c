/*
 * The jump cache and the return stack of a TLB context: what is found, entered, put aside and dropped in them.
 * Translated code looks there by itself (jit/check.c); here is what it cannot do, on the vCPU's own thread.
 */
#include "cpu/mmu/tlb.h"

/* Empties what the return stack has of code in [start, start + size). */
static void returns_drop(const struct mmu *m, struct tlb *t, u64 start, u64 size)
{
    for (u32 i = 0; i <= RETURN_COUNT; i++)
        if (~t->returns.la[i] - start < size)
            t->returns.host[i] = m->lost_return;
}

void jumps_empty(struct mmu *m, struct tlb *t)
{
    for (u32 i = 0; i <= RETURN_COUNT; i++)
        t->returns.host[i] = m->lost_return;
    if (t->jfilled <= ARRAY_LEN(t->jfilled_list)) {
        for (u32 n = 0; n < t->jfilled; n++) {
            u32 i = t->jfilled_list[n];
            t->jtag[i] = jump_empty(i);
        }
    } else {
        copy_words(t->jtag, m->jump_empty, JUMP_SIZE);
    }
    t->jfilled = 0;
    if (t->jvictims)
        copy_words(t->jvtag, m->jump_victim_empty, JUMP_VICTIMS);
    t->jvictims = false;
}

static void jump_put_aside(struct tlb *t, u32 i)
{
    u32 k = jump_victim_index(-t->jtag[i]);
    t->jvtag[k] = t->jtag[i];
    t->jvcode[k] = t->jcode[i];
    t->jvictims = true;
}

void jump_enter(struct tlb *t, u64 la, const u8 *code)
{
    u32 i = jump_index(la);
    if (t->jtag[i] == jump_empty(i)) {
        if (t->jfilled < ARRAY_LEN(t->jfilled_list))
            t->jfilled_list[t->jfilled] = (u16)i;
        t->jfilled++;
    } else if (t->jtag[i] != -la) {
        jump_put_aside(t, i);
    }
    t->jcode[i] = (u64)code;
    t->jtag[i] = -la;
}

const u8 *jump_find(struct tlb *t, u64 la)
{
    u32 i = jump_index(la), k = jump_victim_index(la);
    if (likely(t->jtag[i] == -la))
        return (const u8 *)t->jcode[i];
    if (t->jvtag[k] != -la)
        return NULL;
    const u8 *code = (const u8 *)t->jvcode[k];
    t->jvtag[k] = jump_victim_empty(k);
    jump_enter(t, la, code);
    return code;
}

void jumps_drop(const struct mmu *m, struct tlb *t, u64 start, u64 size)
{
    returns_drop(m, t, start, size);
    u64 last = (start + size - 1) >> JUMP_SHIFT, count = last - (start >> JUMP_SHIFT) + 1;
    if (count > JUMP_SIZE)
        count = JUMP_SIZE;
    for (u32 n = 0, i = jump_index(start); n < count; n++, i = (i + 1) % JUMP_SIZE) {
        if (-t->jtag[i] - start < size)
            t->jtag[i] = jump_empty(i);
    }
    for (u32 k = 0; t->jvictims && k < JUMP_VICTIMS; k++) {
        if (-t->jvtag[k] - start < size)
            t->jvtag[k] = jump_victim_empty(k);
    }
}
