/*
 * Interfaces of the host by the names that Hyper-V's documents give them: "vEthernet (SWITCH)" is the host's port at a
 * switch, "Ethernet" and "Ethernet 2" are its first and second interface with a card, and Linux' own names do, too.
 */
#ifndef SHELL_ADAPTER_H
#define SHELL_ADAPTER_H

#include "shell/cmdlet.h"

#define ADAPTER_NAME_MAX 64

/* The host's interface of a name. Returns 0, or -ENOENT. */
int MUST_CHECK adapter_find(struct store *store, const char *name, char interface[static ADAPTER_NAME_MAX],
                            struct error *error);
/* The switch of "vEthernet (SWITCH)"; false if the name is none of these. */
bool adapter_switch(const char *name, char *switch_name, size_t size);
/* All, as objects of type NetAdapter. */
enum flow adapters_get(struct call *call, struct value **all);

#endif
