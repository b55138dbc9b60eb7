/*
 * Saved state: a tagged, versioned byte stream. A writer or reader visits each field by name with the same code (one
 * function saves and loads), so order and tags cannot drift. Format: section {name, version, length} of fields
 * {name hash, length, bytes}; unknown fields are skipped on load, missing ones keep their reset value.
 */
#ifndef BUS_STATE_H
#define BUS_STATE_H

#include "base/types.h"

struct state; /* opened for saving or for loading */

struct state *state_save_begin(void);
struct state *state_load_begin(const void *data, size_t size);
/* The bytes saved so far; owned by the state. */
const void *state_bytes(const struct state *s, size_t *size);
void state_free(struct state *s);
bool state_saving(const struct state *s);
/* Sticky: -EBADMSG after a malformed stream. */
int state_error(const struct state *s);

/* Begins a section; on load seeks it by name and gives the saved version (0: absent, skip the fields). */
u32 state_section(struct state *s, const char *name, u32 version);
void state_bytes_field(struct state *s, const char *name, void *data, size_t size);
#define STATE_FIELD(s, object, field) state_bytes_field((s), #field, &(object)->field, sizeof((object)->field))

#endif
