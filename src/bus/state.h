/*
 * Saved state: a byte stream of versioned sections, one or more per device, of fields that have a tag and a width.
 *
 * A device writes down its fields as the rows of a table: tag and type as they are on disk, and the member that holds
 * the value. Renaming the member changes nothing on disk, and a member of another type than its row does not compile.
 * The same table saves and loads, so the two cannot drift apart.
 *
 * A new field is a new row: a program that does not know its tag skips it, and a stream without it leaves the reset
 * value. When a tag's meaning or width changes, the section gets a new version, which older programs refuse.
 */
#ifndef BUS_STATE_H
#define BUS_STATE_H

#include "base/types.h"

struct state_field {
    const char *tag;
    u32 width; /* bytes on disk */
    u32 offset;
    bool is_bool; /* a bool or an array of them: any byte but 0 is true */
};

struct state_layout {
    u32 version; /* not 0 */
    u32 fields;
    const struct state_field *field;
};

#define STATE_LAYOUT(version, fields)                                                                                  \
    {                                                                                                                  \
        version, ARRAY_LEN(fields), fields                                                                             \
    }
/* A row: STATE_FIELD("irr", u8, struct i8259_chip, irr), and u8[16] for an array. */
#define STATE_FIELD(tag, type, object, member)                                                                         \
    {                                                                                                                  \
        tag, sizeof(type) + 0 * sizeof(char[STATE_SAME(type, __typeof__(((object *)0)->member)) ? 1 : -1]),            \
            offsetof(object, member), STATE_SAME(type, bool) || STATE_SAME(type, bool[sizeof(type)])                   \
    }
#define STATE_SAME(a, b) __builtin_types_compatible_p(a, b)

struct state; /* opened for saving or for loading */

/* Both return NULL if there is not enough memory. */
struct state *state_save_begin(void);
struct state *state_load_begin(const void *data, size_t size);
/* Returns the bytes saved so far, which belong to the state. */
const void *state_bytes(const struct state *s, size_t *size);
void state_free(struct state *s);
bool state_saving(const struct state *s);
/* Returns the first error, which stays: -EBADMSG after a malformed stream, -EPROTO after a section of a newer version,
 * -ENOMEM; or 0. */
int state_error(const struct state *s);

/*
 * Saves `object` as section "name", or "name.part" unless part is NULL; or loads the section of that name into it.
 * Returns the section's version; or 0 if the stream has no such section, or a bad one, and `object` is as it was.
 */
u32 state_section(struct state *s, const char *name, const char *part, const struct state_layout *layout, void *object);

#endif
