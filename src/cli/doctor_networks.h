/*
 * Which networks this user can have on this host, for nestbox doctor. Private switches, and NAT by libslirp, need
 * nothing.
 */
#ifndef CLI_DOCTOR_NETWORKS_H
#define CLI_DOCTOR_NETWORKS_H

#include "base/error.h"

/* Code 0: they can be had. */
struct doctor_networks {
    struct error host;   /* internal and external switches */
    struct error kernel; /* NAT by the kernel */
};

void doctor_networks_find(struct doctor_networks *networks);

#endif
