/*
 * nestbox create, list, show, set, rename, delete: VMs that are defined.
 */
#include "cli/vm.h"
#include "cli/print.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct options {
    struct vm_settings set;
    struct setting_list disk, base, cd;
    const char *image;
    u64 image_size;
    struct seed seed;
    const char *switch_name;
    bool json, force;
};

#define AT(field) offsetof(struct options, field)
static const struct setting force_row[] = {{"force", SETTING_FLAG, AT(force), NULL, "ask nothing"}, {0}};
static const char device_group[] = "Disks and network";
/* clang-format off */
static const struct setting device_rows[] = {
    {"image", SETTING_TEXT, AT(image), "NAME", "a disk that stands on that image of nestbox image",
     "The first disk stands on that image of *nestbox image*, and the guest gets its name by a seed for cloud-init.",
     .group = device_group, .names = "images"},
    {"size", SETTING_SIZE, AT(image_size), "SIZE", "of that disk (default: the image's)",
     "The size of that disk, by default the image's. The guest's file system grows with it.",
     .group = device_group, .min = 1ull << 20, .max = 64ull << 40, .examples = "20G 40G"},
    {"user-data", SETTING_TEXT, AT(seed.user_data), "FILE", "what cloud-init does in the guest",
     "What cloud-init does in the guest when it starts for the first time: a file that begins with #cloud-config, or a "
     "script.",
     .group = device_group, .file = true},
    {"ssh-key", SETTING_LIST, AT(seed.ssh_key), "FILE", "public keys of who may log in as the image's user",
     "A file with public keys of those who may log in by ssh as the image's user, which is debian in images that "
     "nestbox built. May be given several times.",
     .group = device_group, .file = true},
    {"disk", SETTING_LIST, AT(disk), "SIZE|FILE", "a disk: a new one of that size, or an image as it is",
     "A disk: a new one of that size in the VM's folder, as 20G, or an image that is there, which the VM writes to. "
     "May be given several times.",
     .group = device_group, .examples = "20G", .file = true},
    {"base", SETTING_LIST, AT(base), "FILE", "a disk that stands on an image, which stays as it is",
     "A disk that begins as that image and keeps what the VM writes in a file of its own, so that many VMs can stand "
     "on one image. May be given several times.",
     .group = device_group, .file = true},
    {"cd", SETTING_LIST, AT(cd), "FILE", "a CD drive with that image; an empty text is an empty drive",
     .group = device_group, .file = true},
    {"switch", SETTING_TEXT, AT(switch_name), "SW", "a network card at that switch",
     .group = device_group, .names = "switches"},
    {0},
};
/* clang-format on */

#define VM_WORD                                                                                                        \
    {                                                                                                                  \
        {                                                                                                              \
            "VM", WORD_VM                                                                                              \
        }                                                                                                              \
    }

/* -- create -- */

static int add_disks(const struct setting_list *list, enum disk_kind kind, bool base, struct vm_new *new,
                     struct error *error)
{
    int e = 0;
    for (u32 i = 0; i < list->count && !e; i++) {
        struct disk_new *disk = &new->disk[new->disks++];
        disk_new_init(disk);
        disk->def.kind = kind;
        if (base && !*list->item[i])
            e = error_set(error, -EINVAL, SETTING("base") " without the name of an image");
        else if (base)
            disk->base = list->item[i];
        else if (kind == DISK_CD)
            disk->def.path = list->item[i];
        else
            e = disk_new_source(disk, list->item[i], error);
    }
    return e;
}

static int create(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    static struct vm_new new;
    const char *word[WORDS_MAX];
    struct error error;
    int status;
    verb_defaults(verb, &o);
    if (verb_arguments(verb, argc, argv, &o, word, &status))
        return status;
    int e = name_check("a VM", word[0], &error);
    if (!e && o.image_size && !(o.image && *o.image)) {
        error_set(&error, -EINVAL, SETTING("size") " is of the disk that stands on an " SETTING("image"));
        e = error_hint(&error, SETTING("disk") " makes a new disk of a size");
    }
    if (!e)
        e = add_disks(&o.base, DISK_DISK, true, &new, &error);
    if (!e)
        e = add_disks(&o.disk, DISK_DISK, false, &new, &error);
    if (!e && new.disks + o.cd.count > VM_DISKS_MAX)
        e = error_set(&error, -EINVAL, "a VM has at most %u drives", VM_DISKS_MAX);
    if (!e)
        e = add_disks(&o.cd, DISK_CD, false, &new, &error);
    struct store *store = e ? NULL : command_open();
    if (!store)
        return e ? command_end(NULL, e, &error) : STATUS_FAILED;
    strcpy(new.def.name, word[0]);
    new.def.set = o.set;
    new.image = o.image &&*o.image ? o.image : NULL;
    new.image_size = o.image_size;
    new.seed = o.seed;
    new.switch_name = o.switch_name &&*o.switch_name ? o.switch_name : NULL;
    e = vm_create(store, &new, &terminal_progress, &error);
    return e || !o.json ? command_end(store, e, &error) : show_vm(store, new.def.name);
}

const struct verb verb_create = {
    .name = "create",
    .summary = "Creates a VM",
    .usage = "NAME [OPTION]...",
    .options = {{vm_settings_table, AT(set)}, {device_rows}, {json_rows, AT(json)}},
    .words = {{"NAME", WORD_NEW}},
    .about = "Creates a VM, which is off. "
             "It has no disk, no CD drive and no network card but those that are asked for; all can be added later. "
             "Cards that *nestbox nic add* made for the name become the VM's.",
    .run = create,
};

/* -- list -- */

static json_t *list_row(const json_t *vm)
{
    const json_t *set = json_object_get(vm, "settings");
    const char *nested = text_at(set, "nested");
    char cpus[16], use[16] = "", memory[24], uptime[24] = "", kind[24];
    snprintf(cpus, sizeof(cpus), "%lld", number_at(set, "cpus"));
    if (json_object_get(vm, "cpu_usage"))
        snprintf(use, sizeof(use), "%lld %%", number_at(vm, "cpu_usage"));
    setting_size_text((u64)number_at(set, "memory"), memory, sizeof(memory));
    snprintf(kind, sizeof(kind), "%s%s", nested, true_at(vm, "hypervisor_active") ? " active" : "");
    if (json_object_get(vm, "uptime_ms"))
        duration_text((u64)number_at(vm, "uptime_ms"), uptime, sizeof(uptime));
    char notes[48], plain[160];
    error_plain(text_at(set, "notes"), plain, sizeof(plain));
    snprintf(notes, sizeof(notes), "%.40s%s", plain, strlen(plain) > 40 ? "..." : "");
    char addresses[256];
    return json_pack("[s, s, s, s, s, s, s, s, s]", text_at(vm, "name"), text_at(vm, "state"), cpus, use, memory, kind,
                     uptime, joined(json_object_get(vm, "addresses"), ", ", addresses, sizeof(addresses)), notes);
}

static int list(const struct verb *verb, int argc, char **argv)
{
    static const char *const heading[] = {"NAME",   "STATE",  "CPUS",      "USE",   "MEMORY",
                                          "NESTED", "UPTIME", "ADDRESSES", "NOTES", NULL};
    return command_list(verb, argc, argv, vm_list, heading, list_row);
}

const struct verb verb_list = {
    .name = "list",
    .summary = "Lists VMs and what they are doing",
    .usage = "[VM] [--json]",
    .options = {{json_rows}},
    .words = {{"VM", WORD_VM, true}},
    .about = "Lists VMs and what they are doing. A name may be a UUID, or a pattern with * and ?.",
    .run = list,
};

/* -- show -- */

static void print_disks(const json_t *vm)
{
    size_t index;
    json_t *disk;
    json_array_foreach (json_object_get(vm, "disks"), index, disk) {
        const json_t *set = json_object_get(disk, "settings");
        char plain[512];
        error_plain(json_string_value(json_object_get(set, "path")) ?: "empty", plain, sizeof(plain));
        printf("  %-11s %s, %s %lld:%lld%s%s%s\n", text_at(disk, "id"), plain, text_at(set, "bus"),
               number_at(set, "controller"), number_at(set, "location"), *text_at(set, "format") ? ", " : "",
               text_at(set, "format"), true_at(set, "read_only") ? ", read-only" : "");
    }
}

static void print_others(const json_t *vm)
{
    size_t index;
    json_t *one;
    json_array_foreach (json_object_get(vm, "nics"), index, one)
        printf("  %-11s %s at %s%s%s\n", text_at(one, "name"), text_at(one, "mac"),
               *text_at(one, "switch") ? "switch " : "no switch", text_at(one, "switch"),
               true_at(one, "linked") ? ", connected" : "");
    json_array_foreach (json_object_get(vm, "shares"), index, one) {
        char plain[512];
        const json_t *set = json_object_get(one, "settings");
        error_plain(text_at(set, "path"), plain, sizeof(plain));
        printf("  share       %s: %s%s\n", text_at(one, "tag"), plain, true_at(set, "read_only") ? ", read-only" : "");
    }
}

/* What the guest says of itself. */
static void print_guest(const json_t *vm)
{
    const json_t *guest = json_object_get(vm, "guest");
    char text[256], addresses[256];
    if (!guest)
        return;
    snprintf(text, sizeof(text), "%s, %s, Linux %s", text_at(guest, "hostname"), text_at(guest, "os"),
             text_at(guest, "kernel"));
    char plain[256];
    error_plain(text, plain, sizeof(plain));
    printf("  guest       %s\n", plain);
    joined(json_object_get(vm, "addresses"), ", ", addresses, sizeof(addresses));
    if (*addresses)
        printf("  addresses   %s\n", addresses);
}

/* The worker's is an error; without one that answers it is a text. */
static void print_problem(const json_t *problem)
{
    struct error error;
    char line[640];
    const char *text = json_is_string(problem) ? json_string_value(problem) : text_at(problem, "text");
    if (!*text)
        return;
    error_set(&error, -EIO, "%s", text);
    error_hint(&error, text_at(problem, "hint"));
    error_format(&error, "--", line, sizeof(line));
    printf("  problem     %s\n", line);
}

static void print_vm(const json_t *vm)
{
    static const char *const shown[] = {"generation", "cpus", "memory", "nested", "notes", NULL};
    const json_t *set = json_object_get(vm, "settings");
    char text[1024], memory[24], when[32], uptime[24], notes[512];
    time_t created = (time_t)number_at(vm, "created");
    struct tm tm;
    localtime_r(&created, &tm);
    strftime(when, sizeof(when), "%Y-%m-%d %H:%M", &tm);
    setting_size_text((u64)number_at(set, "memory"), memory, sizeof(memory));
    printf("%s: %s", text_at(vm, "name"), text_at(vm, "state"));
    if (json_object_get(vm, "uptime_ms"))
        printf(" for %s", duration_text((u64)number_at(vm, "uptime_ms"), uptime, sizeof(uptime)));
    printf("%s\n", true_at(vm, "hypervisor_active") ? ", a hypervisor runs in it" : "");
    printf("  id          %s, created %s, version %s\n", text_at(vm, "id"), when, text_at(vm, "configuration"));
    printf("  hardware    generation %lld, cpus %lld, memory %s, nested %s\n", number_at(set, "generation"),
           number_at(set, "cpus"), memory, text_at(set, "nested"));
    settings_text(vm_settings_table, set, shown, text, sizeof(text));
    if (*text)
        printf("  settings    %s\n", text);
    if (json_object_get(vm, "cpu_usage")) {
        bytes_text((u64)number_at(vm, "memory"), memory, sizeof(memory));
        printf("  uses        CPU %lld %% of the host, memory %s", number_at(vm, "cpu_usage"), memory);
        if (*text_at(vm, "memory_status"))
            printf(", of which it needs %s (%s)", bytes_text((u64)number_at(vm, "memory_demand"), text, sizeof(text)),
                   text_at(vm, "memory_status"));
        printf("\n");
    }
    if (*text_at(vm, "limits_note"))
        printf("  note        %s\n", text_at(vm, "limits_note"));
    error_plain(text_at(set, "notes"), notes, sizeof(notes));
    if (*notes)
        printf("  notes       %s\n", notes);
    print_guest(vm);
    print_disks(vm);
    print_others(vm);
    print_problem(json_object_get(vm, "problem"));
    printf("  folder      %s\n", text_at(vm, "path"));
}

static int show(const struct verb *verb, int argc, char **argv)
{
    return command_get(verb, argc, argv, vm_show, print_vm);
}

const struct verb verb_show = {
    .name = "show",
    .summary = "Shows a VM: settings, disks, cards, state",
    .usage = "VM [--json]",
    .options = {{json_rows}},
    .words = VM_WORD,
    .about = "Shows a VM with its settings, where they are not as they would be by default, its disks, cards and "
             "shares.",
    .run = show,
};

/* -- set -- */

static int set_one(struct store *store, const char *name, void *opaque, struct error *error)
{
    const struct options_change *change = opaque;
    return vm_set(store, name, &change->change, error);
}

int vm_set_by_options(const struct verb *verb, int argc, char **argv, void *options, size_t offset, const bool *json)
{
    struct options_change change;
    const char *word[WORDS_MAX];
    int status;
    options_change(&change, verb, argc, argv, options, offset, sizeof(struct vm_settings));
    struct store *store = command_begin_change(&change, word, &status);
    if (!store)
        return status;
    if (!*json || vm_is_pattern(word[0]))
        return on_each_vm(store, word[0], set_one, &change, *json);
    struct error error;
    int e = set_one(store, word[0], &change, &error);
    return e ? command_end(store, e, &error) : show_vm(store, word[0]);
}

static int set(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    return vm_set_by_options(verb, argc, argv, &o, AT(set), &o.json);
}

const struct verb verb_set = {
    .name = "set",
    .summary = "Changes settings of VMs",
    .usage = "VM OPTION...",
    .options = {{vm_settings_table, AT(set)}, {json_rows, AT(json)}},
    .words = VM_WORD,
    .about = "Changes what is given of a VM, or of all whose names are like a pattern with * and ?. "
             "Some settings change only while the VM is off; the refusal says so. An empty text ends a setting.",
    .changes = true,
    .run = set,
};

/* -- rename -- */

static int rename_vm(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    int status;
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    return store ? command_done(store, vm_rename(store, word[0], word[1], &error), &error, o.json) : status;
}

const struct verb verb_rename = {
    .name = "rename",
    .summary = "Gives a VM another name",
    .usage = "VM NAME [--json]",
    .options = {{json_rows, AT(json)}},
    .words = {{"VM", WORD_VM}, {"NAME", WORD_NEW}},
    .about = "Gives a VM another name; its folder and its cards follow.",
    .run = rename_vm,
};

/* -- delete -- */

static void print_losses(const json_t *losses)
{
    size_t index;
    json_t *file;
    char size[24];
    fprintf(stderr, "Deleting VM %s loses:\n", text_at(losses, "name"));
    json_array_foreach (json_object_get(losses, "files"), index, file) {
        char plain[512];
        error_plain(text_at(file, "path"), plain, sizeof(plain));
        fprintf(stderr, "  %-10s %s\n", bytes_text((u64)number_at(file, "bytes"), size, sizeof(size)), plain);
    }
    if (true_at(losses, "saved"))
        fprintf(stderr, "  its saved state\n");
    fprintf(stderr, "  its settings%s\n", number_at(losses, "cards") ? " and its network cards" : "");
}

static int delete_one(struct store *store, const char *name, void *opaque, struct error *error)
{
    const struct options *o = opaque;
    json_t *losses;
    int e = o->force ? 0 : vm_losses(store, name, &losses, error);
    if (e)
        return e;
    if (!o->force) {
        print_losses(losses);
        json_decref(losses);
        if (!confirmed("Delete it?")) {
            error_set(error, -EPERM, "VM %s was not deleted", name);
            return error_hint(error, SETTING("force") " deletes without asking");
        }
    }
    return vm_delete(store, name, error);
}

/* VMs whose disks others stand on wait until those are gone. */
struct pass {
    const struct options *options;
    struct error busy;
    u32 deleted;
};

static int delete_in_turn(struct store *store, const char *name, void *opaque, struct error *error)
{
    struct pass *pass = opaque;
    int e = delete_one(store, name, (void *)(uintptr_t)pass->options, error);
    pass->deleted += !e;
    if (e != -EBUSY)
        return e;
    pass->busy = *error;
    return 0;
}

static int delete_all(struct store *store, const char *pattern, const struct options *o, struct error *error)
{
    struct pass pass;
    int e;
    do {
        pass = (struct pass){.options = o};
        e = vm_each(store, pattern, delete_in_turn, &pass, error);
    } while (!e && pass.busy.code && pass.deleted);
    if (!e && pass.busy.code) {
        *error = pass.busy;
        e = error->code;
    }
    return e;
}

static int erase(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    int status;
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    return store ? command_done(store, delete_all(store, word[0], &o, &error), &error, o.json) : status;
}

const struct verb verb_delete = {
    .name = "delete",
    .summary = "Deletes VMs with all that is in their folders",
    .usage = "VM [--force] [--json]",
    .options = {{force_row}, {json_rows, AT(json)}},
    .words = VM_WORD,
    .about = "Deletes a VM, or all whose names are like a pattern with * and ?, with the disks in its folder, after it "
             "has shown what is lost and asked. Images that lie elsewhere stay.",
    .run = erase,
};
