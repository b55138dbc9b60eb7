/*
 * Values as JSON and back.
 */
#ifndef SHELL_JSON_H
#define SHELL_JSON_H

#include "shell/value.h"

#include <jansson.h>

void json_put(const struct value *value, bool compact, unsigned depth, struct text *to);
/* NULL: it is not JSON, and `why` says so. */
struct value *json_read(struct heap *heap, const char *text, char *why, size_t size);
/* A value of jansson's. Objects become those of the type. */
struct value *json_value(struct heap *heap, const json_t *json, const char *type);

#endif
