/*
 * Settings of the host, which hold for all VMs.
 */
#ifndef RULES_HOST_SETTINGS_H
#define RULES_HOST_SETTINGS_H

#include "rules/rule.h"

struct host_settings {
    enum profile profile;
};

extern const struct setting host_settings_table[];

#endif
