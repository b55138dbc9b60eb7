/*
 * The table of settings of the host.
 */
#include "rules/host_settings.h"

#define AT(field) offsetof(struct host_settings, field)

/* clang-format off */
const struct setting host_settings_table[] = {
    {"profile", SETTING_CHOICE, AT(profile), "PROFILE", "which host's rules hold",
     "Which host's rules hold: *open* refuses nothing without need; the others refuse, warn and allow what that kind "
     "of host does, for training and tests. *nestbox rules* lists them.",
     .group = "Host", .def = "open", .choices = profile_names},
    {0},
};
/* clang-format on */
