/*
 * The value of a setting that says where a serial port ends, as text and in parts.
 */
#ifndef RULES_SERIAL_H
#define RULES_SERIAL_H

#include "base/error.h"

#define SERIAL_PATH_MAX 4096

enum serial_kind {
    SERIAL_NONE,   /* output is dropped, there is no input */
    SERIAL_STDIO,  /* the terminal, or standard input and output */
    SERIAL_PTY,    /* a pseudo-terminal that is made for it */
    SERIAL_FILE,   /* a file of output */
    SERIAL_SOCKET, /* a unix socket that listens */
};

struct serial {
    enum serial_kind kind;
    bool wait;                  /* SERIAL_SOCKET: the VM starts when the first client is there */
    char path[SERIAL_PATH_MAX]; /* SERIAL_FILE, SERIAL_SOCKET */
};

/* Returns 0; or -EINVAL, with an error that says what to write here instead of what other programs call it. */
int MUST_CHECK serial_parse(const char *text, struct serial *serial, struct error *error);

#endif
