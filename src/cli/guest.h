/*
 * What the verbs on guests share.
 */
#ifndef CLI_GUEST_H
#define CLI_GUEST_H

#include "manager/guest.h"

/* Blocks the signals that a user sends, with `window` the terminal's new size, too, and returns a signalfd of them. */
int guest_signals(bool window);

/* Waits for the agent of a guest that began not long ago; signals are not blocked meanwhile. */
int MUST_CHECK guest_await_here(struct store *store, const char *vm, struct error *error);

#endif
