/*
 * Where a capture goes, and copying it there.
 */
#ifndef CLI_CAPTURE_H
#define CLI_CAPTURE_H

#include "base/error.h"

/* Opens a file for a capture; "-" is standard output, if that is no terminal or the capture is `lines`. Returns a
 * descriptor or an error. */
int MUST_CHECK capture_file(const char *path, bool lines, struct error *error);
/* Copies until Ctrl-c, a signal, or until nobody reads; both descriptors are closed. `lines`: as JSON, an object per
 * line. An error if the switch ends. */
int MUST_CHECK capture_copy(int from, int to, bool lines, const char *name, struct error *error);

#endif
