/*
 * nestbox image: what the disks of new VMs begin with.
 */
#include "manager/image.h"
#include "cli/print.h"
#include "cli/vm.h"
#include "rules/image_profile.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct options {
    struct image_build build;
    struct setting_list packages;
    u32 format; /* of image_formats; 0: it is found out */
    bool json;
};

static const char *const format_names[] = {"auto", "qcow2", "raw", "vhdx", "vhd", NULL};

#define AT(field) offsetof(struct options, field)
/* clang-format off */
static const struct setting build_rows[] = {
    {"size", SETTING_SIZE, AT(build.size), "SIZE", "of the disk (default: the profile's)",
     "Size of the disk, which is the least that disks of its VMs can have. The image takes only what is used of it.",
     .min = 512ull << 20, .max = 2ull << 40, .examples = "4G 8G 16G"},
    {"package", SETTING_LIST, AT(packages), "LIST", "more of Debian's packages; may be repeated",
     "More of Debian's packages, separated by commas; may be repeated."},
    {"mirror", SETTING_TEXT, AT(build.mirror), "URL", "where packages come from (default: apt's sources)",
     "Where packages come from, by default apt's own sources or, where that is not Debian's, deb.debian.org."},
    {"hostname", SETTING_TEXT, AT(build.hostname), "NAME", "of a VM that is given none (default: the profile's)",
     "The name of a VM that is given none by its seed, by default the profile's."},
    {0},
};
static const struct setting format_row[] = {
    {"format", SETTING_CHOICE, AT(format), "NAME", "of the file; auto finds out",
     "The format of the file. *auto* finds out; a *raw* file whose first bytes a stranger wrote is better named.",
     .def = "auto", .choices = format_names},
    {0},
};
/* clang-format on */

/* -- text -- */

static const char *time_text(long long seconds, char *text, size_t size)
{
    time_t t = seconds;
    struct tm tm;
    localtime_r(&t, &tm);
    strftime(text, size, "%Y-%m-%d %H:%M", &tm);
    return text;
}

static const char *source_text(const json_t *image, char *text, size_t size)
{
    const json_t *source = json_object_get(image, "source");
    const char *profile = text_at(source, "profile"), *packages = text_at(source, "packages");
    char plain[256];
    if (*profile) {
        snprintf(text, size, "%s%s%s", profile, *packages ? ", " : "", packages);
    } else {
        error_plain(text_at(source, "file"), plain, sizeof(plain));
        snprintf(text, size, "%s (%s)", plain, text_at(source, "format"));
    }
    return text;
}

/* A build takes minutes: what it does is said in lines. */
static void report(const struct progress *unused, const char *what, u64 done, u64 total)
{
    complain("%s", what);
}

static const struct progress lines = {report};

/* -- show -- */

static void print_image(const json_t *image)
{
    char text[512], number[24];
    const json_t *vms = json_object_get(image, "vms");
    printf("image %s: %s disk\n", text_at(image, "name"),
           bytes_text((u64)number_at(image, "size"), number, sizeof(number)));
    printf("  made        %s of ", time_text(number_at(image, "created"), number, sizeof(number)));
    printf("%s\n", source_text(image, text, sizeof(text)));
    printf("  on disk     %s, ", bytes_text((u64)number_at(image, "on_disk"), number, sizeof(number)));
    printf("%s\n", text_at(image, "path"));
    printf("  VMs         %s\n", json_array_size(vms) ? joined(vms, ", ", text, sizeof(text)) : "none");
}

static int show_it(struct store *store, const char *name, bool as_json)
{
    struct error error;
    json_t *object = NULL;
    int e = image_show(store, name, &object, &error);
    return command_show(store, e, &error, object, as_json, print_image);
}

static int show(const struct verb *verb, int argc, char **argv)
{
    return command_get(verb, argc, argv, image_show, print_image);
}

static const struct verb show_verb = {
    .name = "show",
    .summary = "Shows an image: sizes, what it was made of, which VMs use it",
    .usage = "NAME [--json]",
    .within = &verb_image,
    .options = {{json_rows}},
    .words = {{"NAME", WORD_IMAGE}},
    .run = show,
};

/* -- build and import -- */

static int build(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    char packages[2048];
    size_t used = 0;
    struct error error;
    int status;
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    if (!store)
        return status;
    o.build.profile = word[0];
    for (u32 i = 0; i < o.packages.count && used < sizeof(packages); i++)
        used += (size_t)snprintf(packages + used, sizeof(packages) - used, "%s%s", i ? "," : "", o.packages.item[i]);
    o.build.packages = used ? packages : NULL;
    const char *name = word[1] ? word[1] : word[0];
    int e = used < sizeof(packages)
                ? image_build(store, word[1], &o.build, &lines, &error)
                : error_set(&error, -EINVAL, SETTING("package") " has more names than are possible");
    return e ? command_end(store, e, &error) : show_it(store, name, o.json);
}

static const struct verb build_verb = {
    .name = "build",
    .summary = "Builds an image of Debian from its packages, which takes minutes",
    .usage = "PROFILE [NAME] [OPTION]...",
    .within = &verb_image,
    .options = {{build_rows}, {json_rows, AT(json)}},
    .words = {{"PROFILE", WORD_PROFILE}, {"NAME", WORD_NEW, true}},
    .notes = "Profiles: debian (the guest agent, ssh, cloud-init), kvm-host (the same with QEMU and\n"
             "libvirt), container-host (the same with podman). The disk starts by BIOS, UEFI and\n"
             "UEFI Secure Boot. It takes root, or user namespaces with a range in /etc/subuid.\n",
    .about =
        "Builds an image of Debian from its packages. The profile *debian* has the guest agent, ssh and cloud-init, "
        "*kvm-host* the same with QEMU and libvirt, *container-host* the same with podman. The disk starts by BIOS, "
        "UEFI and UEFI Secure Boot. It takes root, or user namespaces with a range in /etc/subuid. What was "
        "downloaded stays in cache/images of the home folder, which may be removed at any time.",
    .run = build,
};

static int import(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    char name[NAME_MAX_LEN + 1];
    int status;
    verb_defaults(verb, &o);
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    if (!store)
        return status;
    int e = image_import(store, word[0], word[1], o.format ? format_names[o.format] : NULL, &terminal_progress, name,
                         &error);
    return e ? command_end(store, e, &error) : show_it(store, name, o.json);
}

static const struct verb import_verb = {
    .name = "import",
    .summary = "Makes an image of the file of a disk: qcow2, raw, VHDX or VHD",
    .usage = "FILE [NAME] [OPTION]...",
    .within = &verb_image,
    .options = {{format_row}, {json_rows, AT(json)}},
    .words = {{"FILE", WORD_FILE}, {"NAME", WORD_NEW, true}},
    .about =
        "Makes an image of a copy of a disk's file: qcow2, raw, VHDX or VHD. A file that is damaged, or that is only "
        "what differs from another one, is refused.",
    .run = import,
};

/* -- list and delete -- */

static json_t *list_row(const json_t *image)
{
    char size[24], on_disk[24], created[24], source[256], vms[24];
    snprintf(vms, sizeof(vms), "%zu", json_array_size(json_object_get(image, "vms")));
    return json_pack(
        "[s, s, s, s, s, s]", text_at(image, "name"), bytes_text((u64)number_at(image, "size"), size, sizeof(size)),
        bytes_text((u64)number_at(image, "on_disk"), on_disk, sizeof(on_disk)), vms,
        time_text(number_at(image, "created"), created, sizeof(created)), source_text(image, source, sizeof(source)));
}

static int list_all(struct store *store, const char *unused, json_t **all, struct error *error)
{
    return image_list(store, all, error);
}

static int list(const struct verb *verb, int argc, char **argv)
{
    static const char *const heading[] = {"NAME", "SIZE", "ON DISK", "VMS", "MADE", "FROM", NULL};
    return command_list(verb, argc, argv, list_all, heading, list_row);
}

static const struct verb list_verb = {
    .name = "list",
    .summary = "Lists the images",
    .usage = "[--json]",
    .within = &verb_image,
    .options = {{json_rows}},
    .run = list,
};

static int erase(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    int status;
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    if (!store)
        return status;
    return command_done(store, image_delete(store, word[0], &error), &error, o.json);
}

static const struct verb delete_verb = {
    .name = "delete",
    .summary = "Deletes an image that no VM uses",
    .usage = "NAME [--json]",
    .within = &verb_image,
    .options = {{json_rows, AT(json)}},
    .words = {{"NAME", WORD_IMAGE}},
    .run = erase,
};

static const struct verb *const own_verbs[] = {&build_verb, &import_verb, &list_verb, &show_verb, &delete_verb, NULL};

const struct verb verb_image = {
    .name = "image",
    .summary = "Images of disks: build, import, list, show, delete",
    .usage = "VERB [OPTION]...",
    .verbs = own_verbs,
};
