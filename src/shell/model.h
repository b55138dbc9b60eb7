/*
 * How settings of the manager become properties of objects, and parameters settings: by tables, both ways.
 */
#ifndef SHELL_MODEL_H
#define SHELL_MODEL_H

#include "manager/change.h"
#include "rules/setting.h"
#include "shell/cmdlet.h"

#include <jansson.h>

enum property_kind {
    PROPERTY_VALUE,    /* the setting, or the element of the JSON object, as it is */
    PROPERTY_ON_OFF,   /* "On" or "Off" */
    PROPERTY_TRUE,     /* true unless it is "off" or false */
    PROPERTY_WORD,     /* one of the words */
    PROPERTY_DIVIDED,  /* a number, by `constant` */
    PROPERTY_NOTHING,  /* null */
    PROPERTY_FALSE,    /* what is never on here */
    PROPERTY_NUMBER,   /* `constant` */
    PROPERTY_CONSTANT, /* the word itself */
    PROPERTY_LIST,     /* an array of the words */
    PROPERTY_PART_ID,  /* the VM's id, a backslash, the word: of a part of a VM */
    PROPERTY_HOST,     /* the host's name */
};

/* One property of a type. Rows stand in the order of Format-List *. */
struct property_row {
    const char *name; /* NULL ends the table */
    enum property_kind kind;
    const char *from; /* the name of a setting, or the key of the JSON object; NULL: none */
    const char *words;
    s64 constant;
};

/* `json` has the elements, and "settings" with the settings. */
struct value *model_object(struct heap *heap, const char *type, const struct property_row *rows, const json_t *json);
#define PROPERTY_NO_ID "00000000-0000-0000-0000-000000000000"
/* The end of parts of VMs, as processors and memory. */
#define PART_ROWS(name)                                                                                                \
    {"Name", PROPERTY_CONSTANT, .words = name}, {"Id", PROPERTY_PART_ID, "id", .words = name},                         \
        {"VMId", PROPERTY_VALUE, "id"}, {"VMName", PROPERTY_VALUE, "name"},                                            \
        {"VMSnapshotId", PROPERTY_CONSTANT, .words = PROPERTY_NO_ID},                                                  \
        {"VMSnapshotName", PROPERTY_CONSTANT, .words = ""}, {"ComputerName", PROPERTY_HOST},                           \
        {"IsDeleted", PROPERTY_FALSE}, {"VMCheckpointId", PROPERTY_CONSTANT, .words = PROPERTY_NO_ID},                 \
    {                                                                                                                  \
        "VMCheckpointName", PROPERTY_CONSTANT, .words = ""                                                             \
    }
/* The host's name; a span of time as "1.02:03:04". */
struct value *value_host(struct heap *heap);
struct value *value_duration(struct heap *heap, s64 seconds);
/* The text of an element; "" if there is none. */
const char *model_text(const json_t *json, const char *key);

/* A change by the parameters of a call that name settings of the table. */
struct model_change {
    struct change change;
    const struct call *call;
    const struct setting *table;
};
void model_change(struct model_change *change, const struct call *call, const struct setting *table);
/* Sets what the parameters say. */
int MUST_CHECK model_apply(const struct call *call, const struct setting *table, void *settings, struct error *error);
/* Was a parameter given that names a setting? */
bool model_changes(const struct call *call);

/* The store, opened with the first cmdlet that needs it; NULL after an error: *flow is what to return. */
struct store *model_store(struct call *call, enum flow *flow);
/* A name that was asked for, with wildcards; NULL: any. */
bool model_wanted(const struct call *call, const char *parameter, const char *name);
/* An error for each name without wildcards that `found` says nothing of. `lists`: the cmdlet that lists all. */
enum flow model_missing(struct call *call, const char *parameter, const char *noun, const struct value *found,
                        const char *property, const char *lists);

#endif
