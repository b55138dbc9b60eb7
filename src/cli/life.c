/*
 * nestbox start, stop, restart, pause, resume, save: the life of VMs, of several at once where names have patterns.
 */
#include "manager/life.h"
#include "manager/guest.h"

#include "cli/print.h"
#include "cli/vm.h"

#include <errno.h>
#include <stdio.h>

struct options {
    bool json, all, turn_off, save, hard, wait;
    u64 timeout_ms, wait_ms;
};

#define AT(field) offsetof(struct options, field)
static const struct setting all_rows[] = {
    {"all", SETTING_FLAG, AT(all), NULL, "all VMs"},
    {0},
};
static const struct setting stop_rows[] = {
    {"turn-off", SETTING_FLAG, AT(turn_off), NULL, "at once, like pulling the plug; the guest may lose data"},
    {"save", SETTING_FLAG, AT(save), NULL, "save memory and devices; the next start goes on from there"},
    {0},
};
static const struct setting timeout_row[] = {
    {"timeout", SETTING_SECONDS, AT(timeout_ms), "SECONDS", "how long the guest may take to shut down", .def = "120",
     .min = 1000, .max = 86400000},
    {0},
};
static const struct setting wait_rows[] = {
    {"wait", SETTING_FLAG, AT(wait), NULL, "until the agent in the guest answers; shows the console's last line"},
    {"timeout", SETTING_SECONDS, AT(wait_ms), "SECONDS", "how long to wait for the agent", .def = "300", .min = 1000,
     .max = 86400000},
    {0},
};
static const struct setting hard_row[] = {
    {"hard", SETTING_FLAG, AT(hard), NULL, "like the reset button; the guest may lose data"}, {0}};

/* -- one VM after the other -- */

typedef int one_vm(struct store *store, const char *name, const struct options *o, json_t **result,
                   struct error *error);

static int collect_one(struct store *store, const char *name, void *opaque, struct error *error)
{
    return json_array_append_new(opaque, json_string(name)) ? error_memory(error) : 0;
}

static int collect(struct store *store, const char *const word[static WORDS_MAX], bool all, json_t *names,
                   struct error *error)
{
    int e = all ? vm_each(store, "*", collect_one, names, error) : 0;
    for (u32 i = 0; i < WORDS_MAX && word[i] && !e && !all; i++)
        e = vm_each(store, word[i], collect_one, names, error);
    return e;
}

static void print_result(const json_t *result)
{
    if (true_at(result, "already"))
        complain("VM %s is %s already", text_at(result, "name"), text_at(result, "state"));
}

static int for_each(const struct verb *verb, int argc, char **argv, one_vm *act)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error, last = {0};
    int status;
    verb_defaults(verb, &o);
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    if (!store)
        return status;
    json_t *names = json_array(), *results = json_array(), *name;
    size_t i;
    int e = word[0] || o.all ? collect(store, word, o.all, names, &error)
                             : error_set(&error, -EINVAL, "%s without a VM; " SETTING("all") " takes all", verb->name);
    if (e)
        last = error;
    json_array_foreach (names, i, name) {
        json_t *result = NULL;
        int bad = act(store, json_string_value(name), &o, &result, &error);
        if (bad && last.code)
            complain_error(&last); /* the last one is complained of at the end */
        if (bad)
            last = error;
        if (!bad && !o.json)
            print_result(result);
        if (!bad)
            json_array_append_new(results, result);
    }
    if (o.json)
        command_json(results);
    else
        json_decref(results);
    json_decref(names);
    return command_end(store, last.code, &last);
}

#define VM_WORDS                                                                                                       \
    {                                                                                                                  \
        {                                                                                                              \
            "VM", WORD_VM, true, true                                                                                  \
        }                                                                                                              \
    }

/* -- the verbs -- */

static int start_one(struct store *store, const char *name, const struct options *o, json_t **result,
                     struct error *error)
{
    int e = life_start(store, name, &terminal_progress, result, error);
    if (e || !o->wait)
        return e;
    e = guest_wait(store, name, (u32)(o->wait_ms / 1000), &terminal_progress, error);
    if (e)
        json_decref(*result);
    return e;
}

static int start(const struct verb *verb, int argc, char **argv)
{
    return for_each(verb, argc, argv, start_one);
}

const struct verb verb_start_vm = {
    .name = "start",
    .summary = "Starts VMs, or goes on with saved or paused ones",
    .usage = "VM... [--wait] [OPTION]...",
    .options = {{wait_rows}, {all_rows}, {json_rows, AT(json)}},
    .words = VM_WORDS,
    .about = "Starts VMs. A VM that was saved goes on where it was, and a paused one is resumed. "
             "With *--wait* it is done when the agent in the guest answers, which is when *nestbox exec* works. "
             "A name may be a pattern with * and ?.",
    .run = start,
};

static int stop_one(struct store *store, const char *name, const struct options *o, json_t **result,
                    struct error *error)
{
    return life_stop(store, name,
                     o->turn_off ? LIFE_TURN_OFF
                     : o->save   ? LIFE_SAVE
                                 : LIFE_SHUT_DOWN,
                     (u32)(o->timeout_ms / 1000), &terminal_progress, result, error);
}

static int stop(const struct verb *verb, int argc, char **argv)
{
    return for_each(verb, argc, argv, stop_one);
}

const struct verb verb_stop = {
    .name = "stop",
    .summary = "Shuts VMs down, turns them off or saves them",
    .usage = "VM... [--all] [OPTION]...",
    .options = {{stop_rows}, {timeout_row}, {all_rows}, {json_rows, AT(json)}},
    .words = VM_WORDS,
    .about = "Has the guests of VMs shut down, and waits for it. "
             "A guest that does not within the time goes on; *--turn-off* ends any.",
    .run = stop,
};

static int restart_one(struct store *store, const char *name, const struct options *o, json_t **result,
                       struct error *error)
{
    return life_restart(store, name, o->hard, (u32)(o->timeout_ms / 1000), &terminal_progress, result, error);
}

static int restart(const struct verb *verb, int argc, char **argv)
{
    return for_each(verb, argc, argv, restart_one);
}

const struct verb verb_restart = {
    .name = "restart",
    .summary = "Shuts VMs down and starts them again",
    .usage = "VM... [--all] [OPTION]...",
    .options = {{hard_row}, {timeout_row}, {all_rows}, {json_rows, AT(json)}},
    .words = VM_WORDS,
    .run = restart,
};

static int pause_one(struct store *store, const char *name, const struct options *o, json_t **result,
                     struct error *error)
{
    return life_pause(store, name, result, error);
}

static int pause_run(const struct verb *verb, int argc, char **argv)
{
    return for_each(verb, argc, argv, pause_one);
}

const struct verb verb_pause = {
    .name = "pause",
    .summary = "Pauses VMs; their memory stays",
    .usage = "VM... [--all] [--json]",
    .options = {{all_rows}, {json_rows, AT(json)}},
    .words = VM_WORDS,
    .run = pause_run,
};

static int resume_one(struct store *store, const char *name, const struct options *o, json_t **result,
                      struct error *error)
{
    return life_resume(store, name, result, error);
}

static int resume(const struct verb *verb, int argc, char **argv)
{
    return for_each(verb, argc, argv, resume_one);
}

const struct verb verb_resume = {
    .name = "resume",
    .summary = "Goes on with paused VMs",
    .usage = "VM... [--all] [--json]",
    .options = {{all_rows}, {json_rows, AT(json)}},
    .words = VM_WORDS,
    .run = resume,
};

static int save_one(struct store *store, const char *name, const struct options *o, json_t **result,
                    struct error *error)
{
    return life_stop(store, name, LIFE_SAVE, 0, &terminal_progress, result, error);
}

static int save(const struct verb *verb, int argc, char **argv)
{
    return for_each(verb, argc, argv, save_one);
}

const struct verb verb_save = {
    .name = "save",
    .summary = "Saves memory and devices of VMs and ends them",
    .usage = "VM... [--all] [--json]",
    .options = {{all_rows}, {json_rows, AT(json)}},
    .words = VM_WORDS,
    .about = "Writes memory and devices of VMs to disk and ends them. "
             "The next start goes on where they were; *nestbox stop --turn-off* drops what was saved.",
    .run = save,
};
