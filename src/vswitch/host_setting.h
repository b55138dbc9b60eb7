/*
 * Settings of the host's kernel below /proc/sys that a network needs, like ip_forward. What a setting was before is
 * kept in a file in a folder that all switches share, until the last network that needs it has gone; a process
 * that was killed leaves it to the next one. The file is worthless after a reboot, so it names the boot.
 */
#ifndef VSWITCH_HOST_SETTING_H
#define VSWITCH_HOST_SETTING_H

#include "base/error.h"

/* Sets `name` ("net/ipv4/ip_forward") if it has another value, and remembers which. Returns 1 if it was changed (now or
 * earlier, by us), 0 if it was so without us, or -errno with an error. */
int MUST_CHECK host_setting_want(const char *shared, const char *name, const char *value, struct error *error);
/* Whether it has that value now. */
bool host_setting_is(const char *name, const char *value);
/* Puts back all that was changed. For the last one who needs it. */
void host_settings_restore(const char *shared);

#endif
