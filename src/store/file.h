/*
 * Files in the home folder, most of them JSON. A file is replaced by a new one in one step: whoever reads finds the old
 * or the new, also after a crash of the host.
 */
#ifndef STORE_FILE_H
#define STORE_FILE_H

#include "base/error.h"

#include <jansson.h>

#define FILE_MAX (1u << 20)

/* Reads an object. 0, -ENOENT, or another error; each fills `error`, which names the file. */
int MUST_CHECK file_read(int folder, const char *path, json_t **object, struct error *error);
int MUST_CHECK file_write(int folder, const char *path, const json_t *object, struct error *error);
/* The same for text that is not JSON; free() releases it. */
int MUST_CHECK file_read_text(int folder, const char *path, char **text, struct error *error);
int MUST_CHECK file_write_text(int folder, const char *path, const char *text, struct error *error);
/* Returns 0 also if there is no such file. */
int MUST_CHECK file_remove(int folder, const char *path, struct error *error);
/* Copies a file of any kind; both paths are absolute. It is there whole or not at all. */
int MUST_CHECK file_copy(const char *from, const char *to, struct error *error);
/* Removes a file, or a folder with all that is in it; follows no links. Returns 0 also if it is not there, or -errno.
 */
#define FOLDER_DEPTH 64 /* folders within each other; more are -ELOOP */
int MUST_CHECK folder_remove(int at, const char *path);

#endif
