/*
 * nestbox kvm: becomes a program that finds a /dev/kvm, which the engine serves, or the host's own. Nothing of this
 * process remains, so signals, job control, descriptors and the exit status are the program's.
 */
#include "cli/kvm.h"

#include "accel/accel.h"
#include "accel/hostcpu.h"
#include "cli/preload.h"
#include "cli/program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char notes[] = "Exit status: the program's; 2 wrong command line; 4 the engine does not run here or its\n"
                            "library is missing; 126 the program cannot be executed, or takes no library (static,\n"
                            "32-bit, set-user-ID); 127 there is no such program.\n";

/* Returns a setting that is given and that the host's KVM cannot serve, or NULL. */
static const char *engine_only(const struct run_settings *s)
{
    return s->cpu ? "cpu" : s->trace ? "trace" : s->stats_file ? "stats" : s->perf_map ? "perf-map" : NULL;
}

int kvm_choose(struct kvm_start *start, int *status)
{
    struct run_settings *s = &start->settings;
    char line[sizeof(start->choice) - 64];
    struct error why;
    const char *needs = s->accel == ACCEL_ENGINE ? NULL : engine_only(s);
    if (needs && s->accel == ACCEL_KVM) {
        accel_needs_engine(needs, &why);
        complain_error(&why);
        *status = STATUS_USAGE;
        return -1;
    }
    bool within = s->accel == ACCEL_AUTO && preload_is_here(); /* then the /dev/kvm here is the engine's already */
    const struct accel_ops *ops =
        accel_select(needs || within ? ACCEL_ENGINE : s->accel, s->nested, s->probe_file, &why);
    if (!ops) {
        complain_error(&why);
        *status = STATUS_FAILED;
        return -1;
    }
    if (needs)
        error_set(&why, 0, SETTING("%s") " needs it", needs);
    else if (within)
        error_set(&why, 0, "this runs within nestbox kvm");
    error_format(&why, "--", line, sizeof(line));
    if (s->accel == ACCEL_AUTO)
        snprintf(start->choice, sizeof(start->choice), "accelerator %s (%s%s)", ops->name, line,
                 needs || within || ops == &accel_kvm ? "" : ": see nestbox doctor");
    start->serve = ops != &accel_kvm;
    s->accel = start->serve ? ACCEL_ENGINE : ACCEL_KVM;
    return 0;
}

int kvm_options(const struct verb *verb, int argc, char **argv, struct kvm_start *start, int *status)
{
    struct run_settings *s = &start->settings;
    struct hostcpu cpu;
    struct error error;
    int rest;
    *start = (struct kvm_start){0};
    *status = STATUS_USAGE;
    verb_defaults(verb, s);
    if (preload_settings(s, &error)) {
        complain_error(&error);
        return -1;
    }
    if (verb_options(verb, argc, argv, s, &rest, status))
        return -1;
    if (run_settings_check(s, &error) || accel_check(s, &error)) {
        complain_error(&error);
        return -1;
    }
    hostcpu_read(&cpu);
    if (s->nested == NESTED_HOST)
        s->nested = cpu.amd ? NESTED_AMD : NESTED_INTEL;
    start->rest = argv + rest;
    start->amd = s->nested == NESTED_OFF ? cpu.amd : s->nested == NESTED_AMD;
    start->other_vendor = start->amd != cpu.amd;
    return 0;
}

/* The library opens the files when a VM begins or ends: what is in the way is better said before. */
static int file_check(const char *setting, const char *path, struct error *error)
{
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0644) : -1;
    if (fd >= 0)
        close(fd);
    else if (path && errno != ENXIO) /* a named pipe without a reader */
        return error_set(error, -errno, SETTING("%s") " %s: %s", setting, path, strerror(errno));
    return 0;
}

static int library_prepare(const struct run_settings *s, struct error *error)
{
    char library[PRELOAD_PATH_MAX];
    int e = file_check("stats", s->stats_file, error);
    if (!e)
        e = file_check("trace-file", s->trace_file, error);
    if (!e)
        e = preload_find(library, error);
    return e ? e : preload_environment(s, library, error);
}

int kvm_become(const struct kvm_start *start, char **argv)
{
    char path[PROGRAM_PATH_MAX];
    struct error error, note = {0};
    int e = program_find(argv[0], path, &error);
    if (!e && start->serve) {
        e = program_takes_preload(path, &error, &note);
        if (!e && library_prepare(&start->settings, &error)) {
            complain_error(&error);
            return STATUS_FAILED;
        }
    }
    if (!e) {
        if (start->choice[0])
            complain("%s", start->choice);
        if (note.text[0])
            complain_error(&note);
        execv(path, argv);
        e = error_set(&error, -errno, "cannot execute %s: %s", path, strerror(errno));
    }
    complain_error(&error);
    return e == -ENOENT ? STATUS_NO_PROGRAM : STATUS_CANNOT_EXECUTE;
}

static int run(const struct verb *verb, int argc, char **argv)
{
    struct kvm_start start;
    int status;
    if (kvm_options(verb, argc, argv, &start, &status))
        return status;
    if (!start.rest[0]) {
        complain("no program given: nestbox kvm -- PROGRAM ARGUMENTS (see nestbox kvm --help)");
        return STATUS_USAGE;
    }
    if (start.rest[0][0] == '-') {
        complain("unexpected argument '%s'; the program comes behind the options: nestbox kvm -- PROGRAM ARGUMENTS "
                 "(see nestbox kvm --help)",
                 start.rest[0]);
        return STATUS_USAGE;
    }
    return kvm_choose(&start, &status) ? status : kvm_become(&start, start.rest);
}

const struct verb verb_kvm = {
    .name = "kvm",
    .summary = "Starts a program that finds a /dev/kvm",
    .usage = "[OPTION]... [--] PROGRAM [ARGUMENT]...",
    .options = {{kvm_settings_table}},
    .notes = notes,
    .takes_program = true,
    .run = run,
};
