/*
 * nestbox copy: files between the host and a running VM.
 */
#include "cli/command.h"
#include "cli/guest.h"
#include "cli/status_line.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

struct options {
    const char *user;
    bool recursive;
};

#define AT(field) offsetof(struct options, field)
/* clang-format off */
static const struct setting rows[] = {
    {"recursive", SETTING_FLAG, AT(recursive), NULL, "copies folders with all that is in them", .letter = 'r'},
    {"user", SETTING_TEXT, AT(user), "NAME", "who reads or writes in the guest; root without it", .letter = 'u'},
    {0},
};
/* clang-format on */

static void complain_of(void *opaque, const char *text)
{
    complain("%s", text);
}

static void progress(void *opaque, u64 bytes)
{
    status_line_show("%llu MiB", (unsigned long long)(bytes >> 20));
}

/* Splits VM:PATH; a path with a slash before its colon is one of the host, as with scp. Returns false if it is one. */
static bool split(const char *word, char *vm, size_t size, const char **path)
{
    const char *colon = strchr(word, ':');
    size_t length = colon ? (size_t)(colon - word) : 0;
    if (!length || length >= size || memchr(word, '/', length))
        return false;
    memcpy(vm, word, length);
    vm[length] = 0;
    *path = colon[1] ? colon + 1 : ".";
    return true;
}

static int run(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    struct error error;
    const char *word[WORDS_MAX], *path[2];
    char vm[2][128];
    int status;
    verb_defaults(verb, &o);
    if (verb_arguments(verb, argc, argv, &o, word, &status))
        return status;
    bool from = split(word[0], vm[0], sizeof(vm[0]), &path[0]), to = split(word[1], vm[1], sizeof(vm[1]), &path[1]);
    if (from == to) {
        complain(from ? "copy takes one VM at a time; go by a folder of the host"
                      : "neither '%s' nor '%s' is in a VM: nestbox copy %s (see nestbox copy --help)",
                 word[0], word[1], verb->usage);
        return STATUS_USAGE;
    }
    struct store *store = command_open();
    if (!store)
        return STATUS_FAILED;
    const struct guest_copy copy = {
        .vm = to ? vm[1] : vm[0],
        .guest_path = to ? path[1] : path[0],
        .host_path = to ? word[0] : word[1],
        .user = o.user,
        .to_guest = to,
        .recursive = o.recursive,
        .signals = guest_signals(false),
        .complain = complain_of,
        .progress = status_line_there() ? progress : NULL,
    };
    int e = guest_copy(store, &copy, &error);
    if (e == -ENXIO && !(e = guest_await_here(store, copy.vm, &error)))
        e = guest_copy(store, &copy, &error);
    store_close(store);
    status_line_clear();
    if (e < 0)
        complain_error(&error);
    return e == -ECANCELED ? STATUS_SIGNAL + SIGINT : e ? STATUS_FAILED : STATUS_OK;
}

const struct verb verb_copy = {
    .name = "copy",
    .summary = "Copies files between the host and a VM",
    .usage = "[OPTION]... VM:PATH HOST|HOST VM:PATH",
    .options = {{rows}},
    .words = {{"FROM", WORD_VM_PATH}, {"TO", WORD_VM_PATH}},
    .about = "Copies a file, or with *--recursive* a folder, between the host and a running VM by its agent. "
             "A path in the guest that does not begin with a slash is in the user's home. "
             "Into a folder that is there it goes under its name; what is in a folder is copied by _FOLDER/._ "
             "Modes and times are kept, owners are not. "
             "What cannot be copied is complained of, the rest is copied, and the exit status is 4.",
    .run = run,
};
