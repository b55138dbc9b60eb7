/*
 * The life of VMs: started, stopped, paused, saved, and what a running one is asked. Each operation answers with JSON
 * or an error, and none prints.
 */
#ifndef MANAGER_LIFE_H
#define MANAGER_LIFE_H

#include "manager/now.h"
#include "manager/progress.h"

enum life_stop { LIFE_SHUT_DOWN, LIFE_TURN_OFF, LIFE_SAVE };

/* Returns a connection to the worker of a VM, -ENOTCONN if none runs. A VM whose worker was killed gets another one. */
int MUST_CHECK life_reach(const struct store *store, const char *name, struct error *error);

/* Each adds to *result {"name", "state"}, and "already": true where there was nothing to do. `progress` may be NULL. */
int MUST_CHECK life_start(struct store *store, const char *name, const struct progress *progress, json_t **result,
                          struct error *error);
/* `seconds`: how long the guest has for shutting down; 0: as usual. */
int MUST_CHECK life_stop(struct store *store, const char *name, enum life_stop how, u32 seconds,
                         const struct progress *progress, json_t **result, struct error *error);
int MUST_CHECK life_pause(struct store *store, const char *name, json_t **result, struct error *error);
int MUST_CHECK life_resume(struct store *store, const char *name, json_t **result, struct error *error);
/* `hard`: like the reset button; otherwise the guest shuts down, and the VM starts again. */
int MUST_CHECK life_restart(struct store *store, const char *name, bool hard, u32 seconds,
                            const struct progress *progress, json_t **result, struct error *error);
/* Drops the saved state. */
int MUST_CHECK life_discard(struct store *store, const char *name, json_t **result, struct error *error);

/* Asks the worker of a running VM, as docs/manager.md has it; the request is released. -ENOTCONN: the VM does not run.
 */
int MUST_CHECK life_ask(struct store *store, const char *name, json_t *request, const struct progress *progress,
                        json_t **answer, struct error *error);
/* Returns a connection that carries the serial port, or events: a line of JSON each. `last`: bytes of what was printed
 * before; `ends`: no more than those. */
int MUST_CHECK life_console(struct store *store, const char *name, u32 last, bool ends, struct error *error);
int MUST_CHECK life_events(struct store *store, const char *name, struct error *error);

#endif
