/*
 * A shell's beginning and end, and the running of whole texts.
 */
#include "shell/failure.h"
#include "shell/output.h"
#include "shell/parse.h"
#include "shell/script.h"

#include "store/network.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WIDTH 120u

void shell_open(struct shell *shell, FILE *out, FILE *err)
{
    static const struct {
        const char *name, *value;
    } preferences[] = {
        {"ErrorActionPreference", "Continue"},     {"WarningPreference", "Continue"},
        {"VerbosePreference", "SilentlyContinue"}, {"ConfirmPreference", "High"},
        {"ProgressPreference", "Continue"},        {"InformationPreference", "SilentlyContinue"},
    };
    *shell = (struct shell){.out = out, .err = err, .width = WIDTH, .ok = true};
    shell->scope = &shell->global;
    shell->global.script = true;
    shell->errors = value_array(&shell->heap);
    output_sink(shell);
    for (unsigned i = 0; i < ARRAY_LEN(preferences); i++)
        scope_set(&shell->global, preferences[i].name, value_text(&shell->heap, preferences[i].value));
    scope_set(&shell->global, "WhatIfPreference", &value_false);
    scope_set(&shell->global, "HOME", value_text(&shell->heap, getenv("HOME")));
    scope_set(&shell->global, "PID", value_number(&shell->heap, getpid()));
}

void shell_close(struct shell *shell)
{
    output_flush(shell);
    if (shell->store)
        store_close(shell->store);
    while (shell->scope->parent)
        scope_leave(shell);
    scope_free(&shell->global);
    for (struct function *f = shell->functions, *next; f; f = next) {
        next = f->next;
        free(f);
    }
    for (struct source *s = shell->sources, *next; s; s = next) {
        next = s->next;
        source_free(s);
    }
    arena_free(&shell->names);
    heap_free(&shell->heap);
}

/* The end of a text: prints what was thrown, and says how it ended. */
static int ended(struct shell *shell, enum flow flow)
{
    output_flush(shell);
    if (flow == FLOW_THROW) {
        failure_report(shell, shell->thrown);
        shell->thrown = NULL;
        return 1;
    }
    if (flow == FLOW_EXIT)
        return shell->status;
    return shell->ok ? 0 : 1;
}

int shell_run(struct shell *shell, const char *name, const char *text, size_t length)
{
    const struct node *body;
    enum flow flow = script_parse(shell, NULL, name, text, length, &body);
    if (flow == FLOW_NEXT)
        flow = eval_statements(shell, body->list, output_sink(shell));
    shell->exited = flow == FLOW_EXIT;
    return ended(shell, flow);
}

bool shell_whole(const char *text, size_t length)
{
    struct parse_error error;
    struct source *source = source_parse(NULL, text, length, &error);
    bool whole = source->top || !error.incomplete;
    source_free(source);
    return whole;
}

/* A word of the command line as an argument: quoted, unless it is a parameter, a number or a variable of truth. */
static void put_word(const char *word, struct text *line)
{
    text_char(line, ' ');
    if ((word[0] == '-' && word[1] && !strpbrk(word, " '\"")) || text_same(word, "$true") ||
        text_same(word, "$false") || (*word && !word[strspn(word, "0123456789")])) {
        text_puts(line, word);
        return;
    }
    text_char(line, '\'');
    for (; *word; word++) {
        if (*word == '\'')
            text_char(line, '\'');
        text_char(line, *word);
    }
    text_char(line, '\'');
}

int shell_run_file(struct shell *shell, const char *path, int argc, char **argv)
{
    struct text line = {0};
    char *whole = script_path(path);
    text_puts(&line, "&");
    put_word(whole, &line);
    for (int i = 0; i < argc; i++)
        put_word(argv[i], &line);
    int status = shell_run(shell, NULL, text_get(&line), line.used);
    if (status && shell->status)
        status = shell->status; /* of the script's own "exit" */
    text_free(&line);
    free(whole);
    return status;
}
