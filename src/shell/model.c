/*
 * Properties and parameters by tables.
 */
#include "shell/model.h"

#include "shell/advice.h"
#include "shell/json.h"
#include "store/network.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *model_text(const json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));
    return text ? text : "";
}

/* -- settings to properties -- */

static const json_t *element(const json_t *json, const char *name)
{
    char key[48];
    if (!name)
        return NULL;
    snprintf(key, sizeof(key), "%s", name);
    for (char *dash; (dash = strchr(key, '-'));)
        *dash = '_';
    const json_t *setting = json_object_get(json_object_get(json, "settings"), key);
    return setting ? setting : json_object_get(json, key);
}

/* The word that a choice of a setting is, "if-running" for "StartIfRunning": the same letters, or the end of them. */
static bool same_word(const char *word, size_t length, const char *choice)
{
    size_t at = length, with = strlen(choice);
    while (with && at) {
        if (choice[with - 1] == '-') {
            with--;
            continue;
        }
        if (tolower((u8)word[at - 1]) != tolower((u8)choice[with - 1]))
            return false;
        at--;
        with--;
    }
    return !with;
}

/* Does the word match a choice, and is it the closest: whole words go first. */
static struct value *word_of(struct heap *heap, const char *words, const char *choice)
{
    for (const char *at = words; *at; at += strcspn(at, "|"), at += *at == '|') {
        size_t length = strcspn(at, "|");
        if (same_word(at, length, choice))
            return value_text_n(heap, at, length);
    }
    return value_text(heap, choice);
}

struct value *value_host(struct heap *heap)
{
    char host[256] = "";
    gethostname(host, sizeof(host) - 1);
    return value_text(heap, host);
}

struct value *value_duration(struct heap *heap, s64 seconds)
{
    s64 days = seconds / 86400;
    return value_format(heap, days ? "%lld.%02d:%02d:%02d" : "%.0lld%02d:%02d:%02d", (long long)days,
                        (int)(seconds / 3600 % 24), (int)(seconds / 60 % 60), (int)(seconds % 60));
}

static struct value *words_of(struct heap *heap, const char *words)
{
    struct value *list = value_array(heap);
    for (const char *at = words; *at; at += strcspn(at, "|"), at += *at == '|')
        array_add(list, value_text_n(heap, at, strcspn(at, "|")));
    return list;
}

static struct value *property(struct heap *heap, const struct property_row *row, const json_t *json)
{
    const json_t *e = element(json, row->from);
    bool on =
        e && !json_is_false(e) && !json_is_null(e) && !(json_is_string(e) && text_same(json_string_value(e), "off"));
    switch (row->kind) {
    case PROPERTY_VALUE: return e ? json_value(heap, e, "PSCustomObject") : &value_null;
    case PROPERTY_ON_OFF: return value_text(heap, on ? "On" : "Off");
    case PROPERTY_TRUE: return value_bool(on);
    case PROPERTY_WORD: return json_is_string(e) ? word_of(heap, row->words, json_string_value(e)) : &value_null;
    case PROPERTY_DIVIDED: return value_number(heap, json_integer_value(e) / row->constant);
    case PROPERTY_FALSE: return &value_false;
    case PROPERTY_NUMBER: return value_number(heap, row->constant);
    case PROPERTY_CONSTANT: return value_text(heap, row->words);
    case PROPERTY_LIST: return words_of(heap, row->words);
    case PROPERTY_PART_ID:
        return value_format(heap, "%s\\%s", json_is_string(e) ? json_string_value(e) : "", row->words);
    case PROPERTY_HOST: return value_host(heap);
    default: return &value_null;
    }
}

struct value *model_object(struct heap *heap, const char *type, const struct property_row *rows, const json_t *json)
{
    struct value *object = value_object(heap, type);
    for (const struct property_row *row = rows; row->name; row++)
        object_set(object, row->name, property(heap, row, json));
    return object;
}

/* -- parameters to settings -- */

/* The text that the setting's own parser reads. */
static const char *setting_text(const struct call *call, const struct setting *s, const struct value *value, char *text,
                                size_t size)
{
    if (value->kind == VALUE_BOOL) {
        snprintf(text, size, "%s", value->truth ? "on" : "off");
        return text;
    }
    if (value->kind != VALUE_TEXT)
        return NULL;
    if (s->kind == SETTING_CHOICE)
        for (const char *const *choice = s->choices; *choice; choice++)
            if (same_word(value->text, value->length, *choice))
                return *choice;
    if (s->kind != SETTING_ON_OFF && s->kind != SETTING_FLAG)
        return value->text;
    snprintf(text, size, "%s", text_same(value->text, "On") ? "on" : "off");
    return text;
}

/* The extensions stay those of the maker that was chosen, where they are on already. */
static bool stays(const struct setting *s, const struct value *value, const void *settings)
{
    const u32 *now = (const u32 *)((const char *)settings + s->offset);
    return s->kind == SETTING_CHOICE && value->kind == VALUE_BOOL && value->truth && *now != 0;
}

int model_apply(const struct call *call, const struct setting *table, void *settings, struct error *error)
{
    for (unsigned i = 0; call->parameters[i].name; i++) {
        const struct parameter *p = &call->parameters[i];
        const struct setting *s = p->setting ? setting_find(table, p->setting, strlen(p->setting)) : NULL;
        const struct value *value = call->bound[i];
        char text[32];
        if (!s || !value || stays(s, value, settings))
            continue;
        if (p->unit == INVERTED)
            value = value_bool(!value_truth(value));
        if (value->kind == VALUE_NUMBER) {
            u64 unit = p->unit ? p->unit : 1;
            if (value->number < 0 || !setting_set_number(s, (u64)value->number * unit, settings)) {
                char range[160];
                setting_range(s, range, sizeof(range));
                return error_set(error, -EINVAL, SETTING("%s") ": %lld is not within %s", s->name,
                                 (long long)value->number, range);
            }
            continue;
        }
        int e = setting_parse(s, setting_text(call, s, value, text, sizeof(text)), settings, error);
        if (e)
            return e;
    }
    return 0;
}

static int apply(const struct change *change, void *settings, struct error *error)
{
    const struct model_change *m = container_of(change, struct model_change, change);
    return model_apply(m->call, m->table, settings, error);
}

void model_change(struct model_change *change, const struct call *call, const struct setting *table)
{
    *change = (struct model_change){{apply}, call, table};
}

bool model_changes(const struct call *call)
{
    for (unsigned i = 0; call->parameters[i].name; i++)
        if (call->parameters[i].setting && call->bound[i])
            return true;
    return false;
}

/* -- finding -- */

/* Whose warnings the store's notes are: one shell runs in a process. */
static struct shell *noted;
static const struct parameter *noted_parameters;

static void note(const struct error *error)
{
    struct text text = {0};
    advice_put(noted_parameters, error->text, &text);
    if (error->hint[0])
        text_puts(&text, "; ");
    advice_put(noted_parameters, error->hint, &text);
    fflush(noted->out);
    fprintf(noted->err, "WARNING: %s\n", text_get(&text));
    text_free(&text);
}

struct store *model_store(struct call *call, enum flow *flow)
{
    struct shell *shell = call->shell;
    struct error error;
    *flow = FLOW_NEXT;
    if (!shell->store)
        shell->store = store_open(&error);
    noted = shell;
    noted_parameters = call->parameters;
    if (shell->store)
        store_notes_to(shell->store, note);
    else
        *flow = call_manager_error(call, &error, NULL);
    return shell->store;
}

bool model_wanted(const struct call *call, const char *parameter, const char *name)
{
    size_t count = call_count(call, parameter);
    for (size_t i = 0; i < count; i++)
        if (text_like(name, call_at(call, parameter, i), false))
            return true;
    return !count;
}

enum flow model_missing(struct call *call, const char *parameter, const char *noun, const struct value *found,
                        const char *property_name, const char *lists)
{
    for (size_t i = 0; i < call_count(call, parameter); i++) {
        const char *name = call_at(call, parameter, i);
        bool any = text_has_wildcards(name);
        for (size_t j = 0; j < found->array.count && !any; j++) {
            const struct value *own = object_get(found->array.item[j], property_name);
            any = own && own->kind == VALUE_TEXT && text_same(own->text, name);
        }
        if (any)
            continue;
        char remedy[60];
        snprintf(remedy, sizeof(remedy), "%s lists what there is", lists);
        enum flow flow =
            call_error_with(call, OBJECT_NOT_FOUND, "ObjectNotFound", name, remedy, "there is no %s '%s'", noun, name);
        if (flow != FLOW_NEXT)
            return flow;
    }
    return FLOW_NEXT;
}
