/*
 * Which level a VMCS or VMCB belongs to: exits.h. Called on the vCPU's own thread when L1 enters another one.
 */
#include "cpu/core/exits.h"

static u32 *find(struct exits *e, u64 control)
{
    for (unsigned i = 0; i < EXIT_DEEP_MAX; i++)
        if (e->deep[i].depth && e->deep[i].control == control)
            return &e->deep[i].depth;
    return NULL;
}

void exits_switch(struct exits *e, u64 control)
{
    u32 *known = find(e, control);
    u32 depth = known ? *known : 0;
    if (e->entry) {
        depth = e->depth + 1 < EXIT_LEVELS ? e->depth + 1 : EXIT_LEVELS - 1;
        if (known) {
            *known = depth;
        } else {
            e->deep[e->oldest].control = control;
            e->deep[e->oldest].depth = depth;
            e->oldest = (u8)((e->oldest + 1) % EXIT_DEEP_MAX);
        }
    }
    e->control = control;
    e->depth = depth;
}
