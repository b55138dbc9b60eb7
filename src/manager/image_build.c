/*
 * Images are built by a program of ours, src/image/build.sh, which lies beside nestbox or is installed with it as
 * image-build. Its lines "image: ..." are its progress. What it downloads stays in `cache/images` of the home folder.
 */
#include "manager/image.h"
#include "process/task.h"
#include "rules/image_profile.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BUILDER "image-build"
#define ARGUMENTS_MAX 24

static int find_builder(char path[static PATH_MAX], struct error *error)
{
    static const char *const places[] = {"", "../lib/nestbox/"};
    char self[PATH_MAX - 64];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n < 0)
        return error_set(error, -errno, "cannot read /proc/self/exe: %s", strerror(errno));
    self[n] = 0;
    char *slash = strrchr(self, '/');
    if (slash)
        slash[1] = 0;
    for (unsigned i = 0; i < ARRAY_LEN(places); i++) {
        snprintf(path, PATH_MAX, "%s%s" BUILDER, self, places[i]);
        if (access(path, X_OK) == 0)
            return 0;
    }
    return error_set(error, -ENOENT, "the program %s, which builds images, is missing", path);
}

static void line(const struct task *task, const char *text)
{
    static const char own[] = "image: ";
    const struct progress *progress = task->opaque;
    if (progress && strncmp(text, own, strlen(own)) == 0)
        progress->report(progress, text + strlen(own), 0, 0);
}

static int unknown(const char *profile, struct error *error)
{
    char names[96] = "";
    size_t used = 0;
    for (const struct image_profile *p = image_profiles; p->name; p++)
        used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", used ? ", " : "there are ", p->name);
    error_set(error, -EINVAL, "there is no profile %.100s", profile);
    return error_hint(error, names);
}

static int run(const struct image_profile *profile, const struct image_build *build, const char *cache,
               const char *disk, const struct progress *progress, struct error *error)
{
    char builder[PATH_MAX], agent[PATH_MAX], size[24], packages[4096];
    const char *argv[ARGUMENTS_MAX], **at = argv;
    const char *const options[][2] = {
        {"--size", size},   {"--package", packages}, {"--mirror", build->mirror}, {"--hostname", build->hostname},
        {"--cache", cache}, {"--format", "qcow2"},   {"--agent", agent}};
    int e = find_builder(builder, error);
    if (e)
        return e;
    snprintf(agent, sizeof(agent), "%.*s", (int)(strrchr(builder, '/') - builder), builder);
    snprintf(size, sizeof(size), "%lluM", (unsigned long long)((build->size ? build->size : profile->size) >> 20));
    if (snprintf(packages, sizeof(packages), "%s %s", profile->packages, build->packages ? build->packages : "") >=
        (int)sizeof(packages))
        return error_set(error, -E2BIG, SETTING("package") " has too many names");
    *at++ = builder;
    for (unsigned i = 0; i < ARRAY_LEN(options); i++)
        if (options[i][1]) {
            *at++ = options[i][0];
            *at++ = options[i][1];
        }
    *at++ = disk;
    *at = NULL;
    const struct task task = {
        .argv = argv, .package = "bash", .name = "the build", .line = line, .opaque = (void *)(uintptr_t)progress};
    return task_run(&task, error);
}

/* The builder's last line is "image-build: what is wrong; as root: apt-get install ...", or the like. */
static void split_error(struct error *error)
{
    static const char own[] = BUILDER ": ";
    char *at = strstr(error->text, own), *hint;
    struct error whole = *error;
    if (!at)
        return;
    at = whole.text + (at - error->text) + strlen(own);
    hint = strstr(at, "; ");
    if (hint)
        *hint = 0;
    error_set(error, whole.code, "the build failed: %.280s", at);
    if (hint)
        error_hint(error, hint + 2);
}

static int build_in(struct store *store, const struct image_profile *profile, const struct image_build *build,
                    const struct image_draft *draft, const struct progress *progress, struct error *error)
{
    struct image_build with = *build;
    char disk[PATH_MAX + 16], cache[PATH_MAX];
    snprintf(disk, sizeof(disk), "%s/disk.qcow2", draft->folder);
    if (!with.hostname)
        with.hostname = profile->name;
    if (snprintf(cache, sizeof(cache), "%s/cache/images", store_home(store)) >= (int)sizeof(cache))
        return error_set(error, -ENAMETOOLONG, "the path of the home folder is too long");
    int e = run(profile, &with, cache, disk, progress, error);
    if (e == -EIO)
        split_error(error);
    return e;
}

int image_build(struct store *store, const char *name, const struct image_build *build, const struct progress *progress,
                struct error *error)
{
    const struct image_profile *profile = image_profile_find(build->profile);
    struct image_def def = {.source = {.profile = build->profile, .packages = build->packages}};
    struct image_draft draft;
    sigset_t before;
    if (!profile)
        return unknown(build->profile, error);
    task_hold_signals(&before);
    int e = store_image_draft(store, name ? name : profile->name, &draft, error);
    if (!e) {
        snprintf(def.name, sizeof(def.name), "%s", name ? name : profile->name);
        e = build_in(store, profile, build, &draft, progress, error);
        if (e)
            store_image_drop(&draft);
        else
            e = store_image_keep(store, &draft, &def, error);
    }
    task_release_signals(&before);
    return e;
}
