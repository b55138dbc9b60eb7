/*
 * What errors of the manager advise, in words of cmdlets.
 */
#ifndef SHELL_ADVICE_H
#define SHELL_ADVICE_H

#include "shell/cmdlet.h"
#include "shell/text.h"

/* One command of `nestbox` and the cmdlet that does the same; NULL: none does, so the command stays as it is. */
struct advice {
    const char *command, *cmdlet;
};
extern const struct advice advices[]; /* ends with a command of NULL */

/* Appends a text or a hint of the manager: settings as the parameters that have them (NULL: as their own names),
 * commands as cmdlets. */
void advice_put(const struct parameter *parameters, const char *from, struct text *to);

#endif
