/*
 * Completion: what may stand at the end of a line, by the tables of cmdlets.
 */
#include "shell/cmdlet.h"
#include "shell/interactive.h"

#include "manager/names.h"
#include "shell/script.h"

#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct offer {
    const char *word;    /* what is there of it, without its quote */
    const char *closing; /* the quote that ends it, or nothing */
    void (*each)(const char *word, void *opaque);
    void *opaque;
};

static void offer(const struct offer *o, const char *before, const char *word)
{
    char whole[PATH_MAX];
    snprintf(whole, sizeof(whole), "%s%s%s", before, word, o->closing);
    if (text_begins(whole, o->word))
        o->each(whole, o->opaque);
}

/* Where the word at the end begins: behind what ends words. */
static size_t word_begins(const char *line)
{
    size_t at = strlen(line);
    while (at && !strchr(" \t|;({}),=", line[at - 1]))
        at--;
    return at;
}

/* The command that the end of the line belongs to; NULL if the word is that itself. */
static const struct cmdlet *command_of(const char *line, size_t word)
{
    size_t from = word;
    char name[80];
    while (from && !strchr("|;({", line[from - 1]))
        from--;
    from += strspn(line + from, " \t");
    if (from >= word)
        return NULL;
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(line + from, " \t"), line + from);
    return cmdlet_find(name);
}

/* The parameter whose value the word is; NULL: of none. */
static const struct parameter *parameter_of(const struct cmdlet *c, const char *line, size_t word)
{
    size_t end = word;
    while (end && isspace((u8)line[end - 1]))
        end--;
    size_t from = end;
    while (from && !isspace((u8)line[from - 1]))
        from--;
    char name[80];
    if (line[from] != '-' || end == word)
        return NULL;
    snprintf(name, sizeof(name), "%.*s", (int)(end - from - 1), line + from + 1);
    const struct parameter *found = NULL;
    for (const struct parameter *p = c->parameters; p->name; p++) {
        if (text_same(p->name, name) || text_listed(p->aliases, name))
            return p;
        found = !found && *name && text_begins(p->name, name) ? p : found;
    }
    return found;
}

static void offer_words(const struct offer *o, const char *words)
{
    for (const char *at = words; at && *at; at += strcspn(at, "|"), at += *at == '|') {
        char one[80];
        snprintf(one, sizeof(one), "%.*s", (int)strcspn(at, "|"), at);
        offer(o, "", one);
    }
}

static void offer_name(const char *name, void *opaque)
{
    offer(opaque, "", name);
}

/* Files that begin as the word does; folders with a slash behind them. */
static void offer_files(const struct offer *o)
{
    const char *slash = strrchr(o->word, '/');
    char *typed = memory_copy(o->word, slash ? (size_t)(slash + 1 - o->word) : 0);
    char *folder = script_path(*typed ? typed : ".");
    struct offer plain = *o;
    DIR *d = opendir(folder);
    for (const struct dirent *e; d && (e = readdir(d));) {
        char path[PATH_MAX];
        struct stat st;
        snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
        bool is_folder = !stat(path, &st) && S_ISDIR(st.st_mode);
        if (e->d_name[0] == '.' && (!slash || slash[1] != '.'))
            continue;
        snprintf(path, sizeof(path), "%s%s", e->d_name, is_folder ? "/" : "");
        plain.closing = is_folder ? "" : o->closing;
        offer(&plain, typed, path);
    }
    if (d)
        closedir(d);
    free(folder);
    free(typed);
}

/* Which of the host's names a parameter has: by its own name. */
static void offer_names(const struct offer *o, const struct cmdlet *c, const struct parameter *p)
{
    const char *kind = NULL;
    if (text_listed("Path|FilePath|SourcePath|OutFile|VHDPath|ParentPath", p->name)) {
        offer_files(o);
        return;
    }
    if (text_same(p->name, "Image"))
        kind = "images";
    else if (text_same(p->name, "VMName") ||
             (text_same(p->name, "Name") && strstr(c->name, "-VM") && strlen(c->name) < 13))
        kind = "vms";
    else if (text_same(p->name, "SwitchName") || (text_same(p->name, "Name") && strstr(c->name, "-VMSwitch")))
        kind = "switches";
    else if (strstr(c->name, "-NetNat") && text_listed("Name|NatName", p->name))
        kind = "nats";
    if (kind)
        names_each(kind, NULL, offer_name, (void *)(uintptr_t)o);
}

static void offer_parameters(const struct offer *o, const struct cmdlet *c)
{
    for (const struct parameter *p = c->parameters; p->name; p++)
        offer(o, "-", p->name);
    for (const struct parameter *p = common_parameters; p->name; p++)
        offer(o, "-", p->name);
    for (const struct parameter *p = confirm_parameters; c->impact && p->name; p++)
        offer(o, "-", p->name);
}

static void offer_commands(struct shell *shell, const struct offer *o)
{
    for (const struct cmdlet *const *table = cmdlet_tables; *table; table++)
        for (const struct cmdlet *c = *table; c->name; c++)
            offer(o, "", c->name);
    for (const struct function *f = shell->functions; f; f = f->next)
        offer(o, "", f->name);
}

size_t completion_find(struct shell *shell, const char *line, void (*each)(const char *word, void *opaque),
                       void *opaque)
{
    size_t begins = word_begins(line);
    const char quote = line[begins];
    const bool quoted = quote == '"' || quote == '\'';
    begins += quoted;
    const struct offer o = {line + begins, !quoted ? "" : quote == '"' ? "\"" : "'", each, opaque};
    const struct cmdlet *c = command_of(line, begins - quoted);
    const struct parameter *p = c ? parameter_of(c, line, begins - quoted) : NULL;
    if (o.word[0] == '$')
        for (const struct scope *scope = shell->scope; scope; scope = scope->parent)
            for (const struct variable *v = scope->variables; v; v = v->next)
                if (!strchr(v->name, ' '))
                    offer(&o, "$", v->name);
    if (o.word[0] == '$')
        return begins;
    if (c && o.word[0] == '-') {
        offer_parameters(&o, c);
    } else if (p && p->kind == PARAMETER_CHOICE) {
        offer_words(&o, p->words);
    } else if (p && p->kind == PARAMETER_BOOL) {
        offer_words(&o, "$true|$false");
    } else if (c) {
        if (!p)
            for (p = c->parameters; p->name && p->position != 1;)
                p++;
        if (p->name)
            offer_names(&o, c, p);
    } else {
        offer_commands(shell, &o);
    }
    return begins;
}
