/*
 * The descriptors behind a serial port: terminal, standard input and output, file, socket, or pseudo-terminal.
 */
#ifndef VMPROC_ENDPOINT_H
#define VMPROC_ENDPOINT_H

#include "rules/serial.h"
#include "vmproc/output.h"

struct endpoint {
    enum serial_kind kind;
    int in, out;  /* -1: none; of a socket they are its client's */
    int listener; /* SERIAL_SOCKET */
    char *path;   /* SERIAL_SOCKET: to remove; SERIAL_PTY: of the terminal */
};

/* Returns 0 or -errno; then there is nothing to close. `setting` is the one that asks for it. */
int MUST_CHECK endpoint_open(struct endpoint *e, const char *setting, const struct serial *where,
                             struct outputs *outputs, struct error *error);
/* Removes the socket; the rest stays open. */
void endpoint_leave(struct endpoint *e);
void endpoint_close(struct endpoint *e);
/* Returns true if clients come and go, so that output to nobody is no failure. */
static inline bool endpoint_has_clients(const struct endpoint *e)
{
    return e->kind == SERIAL_SOCKET || e->kind == SERIAL_PTY;
}

#endif
