/*
 * The choice of the accelerator, once when a VM is made. `auto` prefers a /dev/kvm that the probe
 * finds fit and that nests if asked to; everything else is the engine's.
 */
#include "accel/accel.h"
#include "accel/hostcpu.h"
#include "accel/kvm.h"
#include "accel/probe.h"
#include "cpu/cpu.h"

#include <errno.h>

static const struct accel_ops *select_engine(const char *because, struct error *why)
{
    struct hostcpu cpu;
    hostcpu_read(&cpu);
    if (!hostcpu_suits_engine(&cpu, why))
        return NULL;
    error_set(why, 0, "%s", because);
    return &accel_engine;
}

static bool nests(const struct probe *p, enum nesting nested)
{
    return nested == NESTED_OFF || (nested == NESTED_INTEL ? p->nests_intel : p->nests_amd);
}

/* What an unusable /dev/kvm comes down to; the probe's own words are for whoever asks. */
static const char *missing(const struct probe *p)
{
    bool absent = p->why.code == -ENOENT || p->why.code == -ENXIO || p->why.code == -ENODEV;
    bool refused = p->why.code == -EACCES || p->why.code == -EPERM;
    return absent ? "no /dev/kvm" : refused ? "no permission for /dev/kvm" : "no fit /dev/kvm";
}

/* An accelerator asked for by name is not second-guessed beyond what makes it impossible. */
static const struct accel_ops *select_kvm(const struct probe *p, const char *not_nesting, struct error *why)
{
    if (p->why.code) {
        *why = p->why;
        return NULL;
    }
    if (not_nesting) {
        error_set(why, -ENOTSUP, "%s", not_nesting);
        error_hint(why, "use " SETTING("accel") " engine or auto");
        return NULL;
    }
    if (p->usable) {
        error_set(why, 0, "asked for");
    } else {
        error_set(why, -ENOTSUP, "%s", p->why.text);
        error_hint(why, kvm_use_engine);
    }
    return &accel_kvm;
}

int accel_check(const struct run_settings *settings, struct error *error)
{
    return settings->cpu ? cpuid_check(settings->cpu, error) : 0;
}

const struct accel_ops *accel_select(enum accel_choice choice, enum nesting nested, const char *probe_file,
                                     struct error *why)
{
    if (choice == ACCEL_ENGINE)
        return select_engine("asked for", why);
    struct probe p;
    probe_kvm_kept(probe_file, &p);
    const char *not_nesting = nests(&p, nested)        ? NULL
                              : nested == NESTED_INTEL ? "the host's KVM does not give guests VT-x"
                                                       : "the host's KVM does not give guests AMD-V";
    if (choice == ACCEL_KVM)
        return select_kvm(&p, not_nesting, why);
    if (!p.usable || not_nesting)
        return select_engine(p.usable ? not_nesting : missing(&p), why);
    error_set(why, 0, "%s", p.why.text);
    return &accel_kvm;
}
