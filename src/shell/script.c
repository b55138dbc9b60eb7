/*
 * Finding and reading scripts.
 */
#include "shell/script.h"

#include "shell/bundled.h"
#include "shell/failure.h"
#include "shell/parse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCRIPT_MAX (16u << 20)

bool script_is(const char *name)
{
    size_t length = strlen(name);
    return length > 4 && text_same(name + length - 4, ".ps1");
}

char *script_path(const char *name)
{
    struct text text = {0};
    const char *home = getenv("HOME");
    if (name[0] == '~' && (!name[1] || strchr("/\\", name[1])) && home) {
        text_puts(&text, home);
        name++;
    }
    text_puts(&text, name);
    for (size_t i = 0; i < text.used; i++)
        if (text.at[i] == '\\')
            text.at[i] = '/';
    return text.at ? text.at : memory_copy("", 0);
}

static enum flow read_file(struct shell *shell, const struct node *node, const char *path, struct text *text)
{
    char piece[4096];
    size_t n;
    FILE *f = fopen(path, "re");
    while (f && (n = fread(piece, 1, sizeof(piece), f)) && text->used < SCRIPT_MAX)
        text_put(text, piece, n);
    bool failed = !f || ferror(f);
    int e = errno;
    if (f)
        fclose(f);
    if (!failed && text->used < SCRIPT_MAX)
        return FLOW_NEXT;
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char remedy[320] = "";
    if (!f && bundled_is(name))
        snprintf(remedy, sizeof(remedy), "Invoke-WebRequest " BUNDLED_ADDRESS "%s -OutFile '%s' brings it", name, path);
    const struct failure missing = {OBJECT_NOT_FOUND,
                                    "CommandNotFoundException",
                                    "CommandNotFoundException",
                                    path,
                                    path,
                                    *remedy ? remedy : NULL,
                                    node};
    return failure_throw(shell, &missing, "cannot read %s: %s", path, failed ? strerror(e) : "it is too large");
}

enum flow script_parse(struct shell *shell, const struct node *node, const char *name, const char *text, size_t length,
                       const struct node **body)
{
    struct parse_error error;
    struct source *source = source_parse(name, text, length, &error);
    source->next = shell->sources;
    shell->sources = source;
    *body = source->top;
    if (source->top)
        return FLOW_NEXT;
    const struct node at = {.source = source, .start = error.start, .end = error.end};
    const struct failure f = {PARSER_ERROR, "ParserError", "ParseException", name, .node = &at};
    return failure_throw(shell, &f, "%s", error.text);
}

enum flow script_load(struct shell *shell, const struct node *node, const char *path, const struct node **body)
{
    struct text text = {0};
    enum flow flow = read_file(shell, node, path, &text);
    if (flow == FLOW_NEXT)
        flow = script_parse(shell, node, path, text_get(&text), text.used, body);
    text_free(&text);
    return flow;
}
