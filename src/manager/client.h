/*
 * The process of a switch, seen from a command: asking it, starting it, ending it.
 */
#ifndef MANAGER_CLIENT_H
#define MANAGER_CLIENT_H

#include "store/network.h"

#include <jansson.h>

/* Returns a connection to the control socket; -ENOTCONN if no process serves it. */
int MUST_CHECK client_connect(const struct store *store, const char *name, struct error *error);
/* Asks {"do": what} and waits for the answer, which the caller releases. -ENOTCONN as above; -ETIMEDOUT; or the error
 * that was answered. */
int MUST_CHECK client_ask(const struct store *store, const char *name, const char *what, json_t **answer,
                          struct error *error);
/* The same with a whole request, which is released. */
int MUST_CHECK client_request(const struct store *store, const char *name, json_t *request, json_t **answer,
                              struct error *error);
/* The same on a connection of one's own, with a whole request. */
int MUST_CHECK client_ask_at(int fd, const char *name, const json_t *request, json_t **answer, struct error *error);

/* Starts the process and waits until it passes frames. Returns 0 also if it runs already. */
int MUST_CHECK client_start(const struct store *store, const char *name, struct error *error);
/* Reads who holds the lock of a switch's process or of a VM's worker: its number, 0: nobody. */
long client_holder(int lock);
/* Returns the number of the process that serves the switch, 0 if there is none. */
long client_process(const struct store *store, const char *name);
/* Ends the process, by SIGKILL if it does not end when asked, and waits until it has ended. Returns 0 also if there is
 * none. */
int MUST_CHECK client_stop(const struct store *store, const char *name, struct error *error);
/* After a change of what is defined: has the process take it, or starts it if `wanted`. `about`: what was changed, as
 * "reload" has it (docs/network.md): an error of something else is only a note. NULL: any error is one. */
int MUST_CHECK client_refresh(const struct store *store, const char *name, bool wanted, const char *about,
                              struct error *error);

#endif
