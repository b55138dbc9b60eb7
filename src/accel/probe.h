/*
 * What the host's /dev/kvm is good for. Its presence proves nothing: a paravirtual one interprets
 * ring 0 an instruction at a time and refuses SSE there. So a throwaway VM runs ring 0 loops
 * against the clock.
 */
#ifndef ACCEL_PROBE_H
#define ACCEL_PROBE_H

#include "base/error.h"

struct probe {
    bool usable;      /* a guest kernel can run on it */
    bool nests_intel; /* KVM offers VMX to guests */
    bool nests_amd;   /* KVM offers SVM to guests */
    u32 loop_ns;      /* measured nanoseconds for 1000 iterations of a ring 0 loop; 0 if not reached */
    struct error why; /* why it is or is not usable; its code is that of the step that failed, or 0 */
};

/* Takes at most about half a second. */
void probe_kvm(struct probe *p);
/*
 * The same, but whether a guest kernel can run is read from `file`, if an earlier call wrote it there on this boot of
 * this kernel, for this CPU and this /dev/kvm; otherwise it is found out and written. Permissions and nesting are
 * looked at each time. The file must be one that only the user can write. NULL: nothing is kept.
 */
void probe_kvm_kept(const char *file, struct probe *p);

#endif
