/*
 * What becomes of VMs when the host starts and stops: their settings auto-start, start-delay and auto-stop.
 */
#ifndef MANAGER_AUTO_H
#define MANAGER_AUTO_H

#include "store/vm.h"

/* Whom an operation on many VMs reports each of them to. `error` has code 0 if it went well; `what`: "started". */
struct auto_report {
    void (*one)(const struct auto_report *report, const char *vm, const char *what, const struct error *error);
};

/* Starts those that are to start with the host, each after its delay. Returns 0, or the error of the first that failed,
 * after all have been tried. */
int MUST_CHECK auto_start(struct store *store, const struct auto_report *report, struct error *error);
/* Stops all that run, at the same time, each by its setting; one that cannot be saved is shut down, and one that does
 * not shut down within `seconds` is turned off. They are what runs at the next auto_start. */
int MUST_CHECK auto_stop(struct store *store, u32 seconds, const struct auto_report *report, struct error *error);

#endif
