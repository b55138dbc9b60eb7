/*
 * The choice of the accelerator, once when a VM is made. `auto` prefers a /dev/kvm that the probe
 * finds fit and that nests if asked to; everything else is the engine's. An accelerator asked for
 * by name is not second-guessed beyond what makes it impossible.
 */
#include "accel/accel.h"
#include "accel/hostcpu.h"
#include "accel/probe.h"

#include <stdio.h>
#include <string.h>

static const struct accel_ops *select_engine(const char *because, char *reason, size_t size)
{
    struct hostcpu cpu;
    hostcpu_read(&cpu);
    if (!hostcpu_suits_engine(&cpu, reason, size))
        return NULL;
    snprintf(reason, size, "engine: %s", because);
    return &accel_engine;
}

static bool nests(const struct probe *p, enum accel_nested nested)
{
    return nested == NESTED_OFF || (nested == NESTED_INTEL ? p->nests_intel : p->nests_amd);
}

const struct accel_ops *accel_select(const char *name, enum accel_nested nested, char *reason, size_t size)
{
    const char *extension = nested == NESTED_INTEL ? "VT-x" : "AMD-V";
    if (name && strcmp(name, "engine") == 0)
        return select_engine("asked for", reason, size);
    bool asked = name && strcmp(name, "kvm") == 0;
    if (name && !asked && strcmp(name, "auto") != 0) {
        snprintf(reason, size, "there is no accelerator \"%s\": use auto, engine or kvm", name);
        return NULL;
    }
    struct probe p;
    probe_kvm(&p);
    if (asked && p.error) {
        snprintf(reason, size, "%s", p.reason);
        return NULL;
    }
    if (asked && !nests(&p, nested)) {
        snprintf(reason, size, "the host's KVM does not give guests %s: use --accel engine or auto", extension);
        return NULL;
    }
    if (asked) {
        snprintf(reason, size, p.usable ? "kvm: asked for" : "kvm: asked for, although %s", p.reason);
        return &accel_kvm;
    }
    char because[256];
    snprintf(because, sizeof(because), "%s", p.reason);
    if (p.usable && nests(&p, nested)) {
        snprintf(reason, size, "kvm: %s", because);
        return &accel_kvm;
    }
    if (p.usable)
        snprintf(because, sizeof(because), "the host's KVM does not give guests %s", extension);
    return select_engine(because, reason, size);
}
