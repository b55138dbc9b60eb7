/*
 * nestbox memory: what VMs have of it and need, and the settings that decide.
 */
#include "cli/print.h"
#include "cli/vm.h"

#include <stdio.h>

struct options {
    struct vm_settings set;
    bool json;
};

#define AT(field) offsetof(struct options, field)

static json_t *list_row(const json_t *vm)
{
    const json_t *set = json_object_get(vm, "settings");
    bool dynamic = true_at(set, "dynamic_memory"), runs = json_object_get(vm, "memory");
    char start[24], least[24] = "", most[24] = "", has[24] = "", needs[24] = "";
    setting_size_text((u64)number_at(set, "memory"), start, sizeof(start));
    if (dynamic) {
        setting_size_text((u64)number_at(set, "memory_minimum"), least, sizeof(least));
        setting_size_text((u64)number_at(set, "memory_maximum"), most, sizeof(most));
    }
    if (runs)
        bytes_text((u64)number_at(vm, "memory"), has, sizeof(has));
    if (runs && *text_at(vm, "memory_status"))
        bytes_text((u64)number_at(vm, "memory_demand"), needs, sizeof(needs));
    return json_pack("[s, s, s, s, s, s, s, s, s]", text_at(vm, "name"), text_at(vm, "state"), start,
                     dynamic ? "on" : "off", least, most, has, needs, text_at(vm, "memory_status"));
}

static int list(const struct verb *verb, int argc, char **argv)
{
    static const char *const heading[] = {"NAME",    "STATE", "START", "DYNAMIC", "MINIMUM",
                                          "MAXIMUM", "HAS",   "NEEDS", "STATUS",  NULL};
    return command_list(verb, argc, argv, vm_list, heading, list_row);
}

static const struct verb list_verb = {
    .name = "list",
    .summary = "Lists the memory of VMs",
    .usage = "[VM] [--json]",
    .within = &verb_memory,
    .options = {{json_rows}},
    .words = {{"VM", WORD_VM, true}},
    .about = "Lists what memory VMs start with, whether it follows what the guest needs and within which limits, and "
             "of those that run how much they have and need. A name may be a UUID, or a pattern with * and ?.",
    .run = list,
};

static int set(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    return vm_set_by_options(verb, argc, argv, &o, AT(set), &o.json);
}

static const struct verb set_verb = {
    .name = "set",
    .summary = "Changes the memory of VMs",
    .usage = "VM OPTION...",
    .within = &verb_memory,
    .options = {{vm_settings_table, AT(set), .only = "memory"}, {json_rows, AT(json)}},
    .words = {{"VM", WORD_VM}},
    .about = "Changes the settings of memory, as *nestbox set* does with all settings.",
    .changes = true,
    .run = set,
};

static const struct verb *const own_verbs[] = {&list_verb, &set_verb, NULL};

const struct verb verb_memory = {
    .name = "memory",
    .summary = "Memory of VMs: list, set",
    .usage = "VERB [OPTION]...",
    .verbs = own_verbs,
};
