/*
 * nestbox disk: drives of VMs and their images.
 */
#include "manager/disk.h"
#include "cli/print.h"
#include "cli/vm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct options {
    struct disk_def set;
    const char *base, *format;
    bool json, erase, shrink, repair;
};

#define AT(field) offsetof(struct options, field)
/* clang-format off */
static const struct setting base_row[] = {
    {"base", SETTING_TEXT, AT(base), "FILE", "an image that the new one stands on, and that stays as it is",
     .file = true},
    {0}};
static const struct setting erase_row[] = {
    {"delete", SETTING_FLAG, AT(erase), NULL, "delete the image, too, if it lies in the VM's folder"}, {0}};
static const struct setting shrink_row[] = {
    {"shrink", SETTING_FLAG, AT(shrink), NULL, "also to a smaller size: what lies behind it is lost"}, {0}};
static const struct setting repair_row[] = {
    {"repair", SETTING_FLAG, AT(repair), NULL, "mend what can be mended"}, {0}};
static const struct setting format_row[] = {
    {"format", SETTING_TEXT, AT(format), "FORMAT", "qcow2, raw, vhdx, vhd, vmdk or vdi; after the name if not given",
     .examples = "qcow2 raw vhdx vhd vmdk vdi"},
    {0}};
/* clang-format on */

#define DRIVE_WORD                                                                                                     \
    {                                                                                                                  \
        {                                                                                                              \
            "VM[/DRIVE]", WORD_DISK                                                                                    \
        }                                                                                                              \
    }

/* -- add, set, remove, list -- */

static int add(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    struct disk_new new;
    const char *word[WORDS_MAX];
    struct error error;
    json_t *object = NULL;
    int status, e = 0;
    disk_new_init(&new);
    o.set = new.def;
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    if (!store)
        return status;
    new.def = o.set;
    new.base = o.base &&*o.base ? o.base : NULL;
    if (word[1] && new.def.kind != DISK_DISK)
        new.def.path = word[1];
    else if (word[1])
        e = disk_new_source(&new, word[1], &error);
    if (!e)
        e = disk_add(store, word[0], &new, &object, &error);
    if (!e && o.json)
        command_json(object);
    else if (!e) {
        printf("%s\n", text_at(object, "id"));
        json_decref(object);
    }
    return command_end(store, e, &error);
}

static const struct verb add_verb = {
    .name = "add",
    .summary = "Adds a disk or another drive to a VM and prints its name",
    .usage = "VM [SIZE|FILE] [OPTION]...",
    .within = &verb_disk,
    .options = {{disk_settings_table, AT(set), "path"}, {base_row}, {json_rows, AT(json)}},
    .words = {{"VM", WORD_VM}, {"SIZE|FILE", WORD_FILE, true}},
    .about = "Adds a drive to a VM and prints its name. "
             "A size, as 20G, is a new disk in the VM's folder, a file an image that is there. "
             "With *--base* the new disk begins as that image, which stays as it is. "
             "While the VM runs, disks at virtio, scsi and nvme and CD drives at scsi can come and go.",
    .changes = true,
    .run = add,
};

static int set(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    struct options_change change;
    const char *word[WORDS_MAX];
    struct error error;
    int status;
    options_change(&change, verb, argc, argv, &o, AT(set), sizeof(o.set));
    struct store *store = command_begin_change(&change, word, &status);
    if (!store)
        return status;
    return command_done(store, disk_set(store, word[0], &change.change, &error), &error, o.json);
}

static const struct verb set_verb = {
    .name = "set",
    .summary = "Changes a drive: its image, its place, its limits",
    .usage = "VM[/DRIVE] OPTION...",
    .within = &verb_disk,
    .options = {{disk_settings_table, AT(set), "kind"}, {json_rows, AT(json)}},
    .words = DRIVE_WORD,
    .about = "Changes what is given of a drive. "
             "The drive need not be named where the VM has one disk. An empty path empties a CD drive. "
             "While the VM runs, limits and what is in a CD drive change.",
    .changes = true,
    .run = set,
};

static int remove_drive(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    int status;
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    return store ? command_done(store, disk_remove(store, word[0], o.erase, &error), &error, o.json) : status;
}

static const struct verb remove_verb = {
    .name = "remove",
    .summary = "Removes a drive from a VM; its image stays",
    .about = "Removes a drive from a VM; its image stays, unless *--delete* is given. "
             "A guest that runs must let go of it.",
    .usage = "VM[/DRIVE] [--delete] [--json]",
    .within = &verb_disk,
    .options = {{erase_row}, {json_rows, AT(json)}},
    .words = DRIVE_WORD,
    .run = remove_drive,
};

static json_t *list_row(const json_t *disk)
{
    const json_t *set = json_object_get(disk, "settings");
    char title[120], place[48], size[24] = "", bytes[24] = "", plain[512];
    snprintf(title, sizeof(title), "%s/%s", text_at(disk, "vm"), text_at(disk, "id"));
    snprintf(place, sizeof(place), "%s %lld:%lld", text_at(set, "bus"), number_at(set, "controller"),
             number_at(set, "location"));
    if (json_object_get(disk, "size")) {
        bytes_text((u64)number_at(disk, "size"), size, sizeof(size));
        bytes_text((u64)number_at(disk, "bytes"), bytes, sizeof(bytes));
    }
    error_plain(*text_at(disk, "file") ? text_at(disk, "file") : "empty", plain, sizeof(plain));
    return json_pack("[s, s, s, s, s, s]", title, text_at(set, "kind"), place, size, bytes, plain);
}

static int list(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    int status;
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    if (!store)
        return status;
    static const char *const heading[] = {"DRIVE", "KIND", "PLACE", "SIZE", "ON DISK", "IMAGE", NULL};
    json_t *all = NULL;
    int e = disk_list(store, word[0], &all, &error);
    if (!e)
        print_list(all, o.json, heading, list_row);
    return command_end(store, e, &error);
}

static const struct verb list_verb = {
    .name = "list",
    .summary = "Lists drives, their images and the room that these take",
    .usage = "[VM] [--json]",
    .within = &verb_disk,
    .options = {{json_rows, AT(json)}},
    .words = {{"VM", WORD_VM, true}},
    .run = list,
};

/* -- images -- */

static int read_size(const char *text, u64 *size)
{
    if (setting_parse_size(text, size) && *size >= 1 << 20)
        return 0;
    complain("'%.60s' is not a size: a number with K, M, G or T, at least 1M", text);
    return -1;
}

static int create(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    int status;
    u64 size = 0;
    if (verb_arguments(verb, argc, argv, &o, word, &status))
        return status;
    if (word[1] && read_size(word[1], &size))
        return STATUS_USAGE;
    return command_done(NULL, disk_create(word[0], o.format, size, o.base && *o.base ? o.base : NULL, &error), &error,
                        o.json);
}

static const struct verb create_verb = {
    .name = "create",
    .summary = "Makes an image that belongs to no VM",
    .usage = "FILE [SIZE] [OPTION]...",
    .within = &verb_disk,
    .options = {{format_row}, {base_row}, {json_rows, AT(json)}},
    .words = {{"FILE", WORD_FILE}, {"SIZE", WORD_NEW, true}},
    .run = create,
};

static int resize(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    int status;
    u64 size;
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    if (!store)
        return status;
    if (read_size(word[1], &size)) {
        store_close(store);
        return STATUS_USAGE;
    }
    return command_done(store, disk_resize(store, word[0], size, o.shrink, &error), &error, o.json);
}

static const struct verb resize_verb = {
    .name = "resize",
    .summary = "Gives the image of a VM that is off another size",
    .usage = "VM[/DRIVE]|FILE SIZE [--shrink] [--json]",
    .within = &verb_disk,
    .options = {{shrink_row}, {json_rows, AT(json)}},
    .words = {{"VM[/DRIVE]|FILE", WORD_DISK_OR_FILE}, {"SIZE", WORD_NEW}},
    .run = resize,
};

static void print_sizes(const json_t *sizes)
{
    char was[24], is[24];
    printf("%s before, %s now\n", bytes_text((u64)number_at(sizes, "before"), was, sizeof(was)),
           bytes_text((u64)number_at(sizes, "after"), is, sizeof(is)));
}

static int compact(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    int status;
    u64 before, after;
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    if (!store)
        return status;
    int e = disk_compact(store, word[0], &terminal_progress, &before, &after, &error);
    json_t *sizes = e ? NULL : json_pack("{s:I, s:I}", "before", (json_int_t)before, "after", (json_int_t)after);
    return command_show(store, e, &error, sizes, o.json, print_sizes);
}

static const struct verb compact_verb = {
    .name = "compact",
    .summary = "Gives room back that an image has and its disk does not use",
    .usage = "VM[/DRIVE]|FILE [--json]",
    .within = &verb_disk,
    .options = {{json_rows, AT(json)}},
    .words = {{"VM[/DRIVE]|FILE", WORD_DISK_OR_FILE}},
    .about = "Writes the image of a VM that is off again, without what reads as zeros. "
             "That needs room for the new one beside the old.",
    .run = compact,
};

static int convert(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    int status;
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    if (!store)
        return status;
    int e = disk_convert(store, word[0], word[1], o.format, &terminal_progress, &error);
    return command_done(store, e, &error, o.json);
}

static const struct verb convert_verb = {
    .name = "convert",
    .summary = "Writes an image in another format",
    .usage = "VM[/DRIVE]|FILE FILE [--format F] [--json]",
    .within = &verb_disk,
    .options = {{format_row}, {json_rows, AT(json)}},
    .words = {{"VM[/DRIVE]|FILE", WORD_DISK_OR_FILE}, {"FILE", WORD_FILE}},
    .about = "Writes another image with the same contents, which stands alone. "
             "Its format follows from its name: _.vhdx_, _.vhd_, _.raw_, _.img_, _.vmdk_, _.vdi_, and qcow2 "
             "otherwise.",
    .run = convert,
};

static int merge(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    int status;
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    if (!store)
        return status;
    int e = disk_merge(store, word[0], NULL, &terminal_progress, &error);
    return command_done(store, e, &error, o.json);
}

static const struct verb merge_verb = {
    .name = "merge",
    .summary = "Writes an image into the one that it stands on, and removes it",
    .usage = "FILE [--json]",
    .within = &verb_disk,
    .options = {{json_rows, AT(json)}},
    .words = {{"FILE", WORD_FILE}},
    .about = "Writes what an image differs in from the one that it stands on into that, and removes it. "
             "It must be no drive of a VM, and nothing else may stand on either.",
    .run = merge,
};

static int check(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    json_t *report;
    int status;
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    if (!store)
        return status;
    int e = disk_check(store, word[0], o.repair, &report, &error);
    if (e)
        return command_end(store, e, &error);
    long long corruptions = number_at(report, "corruptions") + number_at(report, "failures"),
              leaks = number_at(report, "leaks");
    if (o.json)
        command_json(report);
    else {
        if (!corruptions && !leaks)
            printf("no errors\n");
        else
            printf("%lld errors, %lld clusters that nothing uses%s\n", corruptions, leaks,
                   o.repair ? "" : "; --repair mends what can be mended");
        json_decref(report);
    }
    status = command_end(store, 0, &error);
    return corruptions || leaks ? STATUS_FINDINGS : status;
}

static const struct verb check_verb = {
    .name = "check",
    .summary = "Looks for damage in an image, and mends it",
    .usage = "VM[/DRIVE]|FILE [--repair] [--json]",
    .within = &verb_disk,
    .options = {{repair_row}, {json_rows, AT(json)}},
    .words = {{"VM[/DRIVE]|FILE", WORD_DISK_OR_FILE}},
    .about = "Looks for damage in an image. The status is 14 if there is some.",
    .run = check,
};

static const struct verb *const own_verbs[] = {&add_verb,    &set_verb,    &remove_verb,  &list_verb,
                                               &create_verb, &resize_verb, &compact_verb, &convert_verb,
                                               &merge_verb,  &check_verb,  NULL};

const struct verb verb_disk = {
    .name = "disk",
    .summary = "Drives of VMs and images: add, set, remove, list, create, resize, compact, convert, merge, check",
    .usage = "VERB [OPTION]...",
    .verbs = own_verbs,
};
