/*
 * What variables, arguments and pipelines hold. Values do not change once they were passed on, but for objects and
 * arrays that a script changes by name. Each belongs to a heap; those of parsed text and null, true and false to none.
 */
#ifndef SHELL_VALUE_H
#define SHELL_VALUE_H

#include "shell/heap.h"
#include "shell/text.h"

enum value_kind {
    VALUE_NULL,
    VALUE_BOOL,
    VALUE_NUMBER,
    VALUE_REAL,
    VALUE_TEXT,
    VALUE_ARRAY,
    VALUE_OBJECT,
    VALUE_BLOCK, /* a script block */
};

struct node;

struct property {
    const char *name; /* belongs to the object */
    struct value *value;
};

struct value {
    enum value_kind kind;
    bool marked;
    struct value *next, *grey; /* of the heap */
    union {
        bool truth;
        struct {
            s64 number;
            const char *spelling; /* as it stood in the text, for whoever wants a text: "007"; or NULL */
        };
        double real;
        struct {
            char *text; /* ends with a zero, which is not counted */
            size_t length;
        };
        struct {
            struct value **item;
            size_t count, room;
        } array;
        struct {
            const char *type; /* names its table and list, and what takes it from a pipeline; a constant */
            struct property *property;
            size_t count, room;
        } object;
        const struct node *block;
    };
};

extern struct value value_null, value_true, value_false;

static inline struct value *value_bool(bool truth)
{
    return truth ? &value_true : &value_false;
}
struct value *value_number(struct heap *heap, s64 number);
struct value *value_real(struct heap *heap, double real);
struct value *value_text(struct heap *heap, const char *text); /* NULL: null */
struct value *value_text_n(struct heap *heap, const char *text, size_t length);
struct value *value_text_take(struct heap *heap, struct text *text); /* empties it */
struct value *value_format(struct heap *heap, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct value *value_block(struct heap *heap, const struct node *block);
struct value *value_array(struct heap *heap);
struct value *value_object(struct heap *heap, const char *type);

void array_add(struct value *array, struct value *item);
/* Sets a property, or adds it behind the others. */
void object_set(struct value *object, const char *name, struct value *value);
/* NULL if there is none of that name, which is compared without case. */
struct value *object_get(const struct value *object, const char *name);
void object_remove(struct value *object, const char *name);
bool value_is(const struct value *value, const char *type);

/* For the heap. */
size_t value_size(const struct value *value);
void value_free(struct value *value);

/* -- what a value means elsewhere -- */

bool value_truth(const struct value *value);
/* As within a string: numbers as they are written, arrays with spaces between. */
void value_put(const struct value *value, struct text *to);
/* Does a number come out? Texts are read as numbers. `real` is set, too, if that is not whole: *whole is false. */
bool value_numeric(const struct value *value, s64 *number, double *real, bool *whole);
/* Less than, equal, greater than zero. Texts are compared by the kind of `a`, as PowerShell does. */
int value_compare(const struct value *a, const struct value *b, bool exact);
bool value_equal(const struct value *a, const struct value *b, bool exact);
/* Reads a number: 12, 0x1f, 1.5, 16GB, -3, 1e3. False if the text is something else. */
bool number_read(const char *text, size_t length, s64 *number, double *real, bool *whole);
/* "Int64", "String", the type of an object. */
const char *value_type(const struct value *value);

#endif
