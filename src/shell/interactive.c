/*
 * The terminal: libedit reads lines. Ctrl-C ends what is typed or what runs, Ctrl-D the shell.
 */
#include "shell/interactive.h"

#include "shell/output.h"

#include <errno.h>
#include <histedit.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define HISTORY_LINES 1000

struct terminal {
    struct shell *shell;
    EditLine *edit;
    History *history;
    bool goes_on; /* a statement is not finished */
};

static const char *prompt(EditLine *edit)
{
    struct terminal *t;
    el_get(edit, EL_CLIENTDATA, &t);
    return t->goes_on ? ">> " : "nestbox> ";
}

struct found {
    size_t count;
    char first[PATH_MAX]; /* what all have in common */
    struct text all;
};

static void add_found(const char *word, void *opaque)
{
    struct found *f = opaque;
    if (!f->count++)
        snprintf(f->first, sizeof(f->first), "%s", word);
    size_t same = 0;
    while (f->first[same] && word[same] && !strncasecmp(f->first + same, word + same, 1))
        same++;
    f->first[same] = 0;
    text_format(&f->all, "%s  ", word);
}

static unsigned char complete_key(EditLine *edit, int key)
{
    struct terminal *t;
    struct found found = {0};
    el_get(edit, EL_CLIENTDATA, &t);
    const LineInfo *info = el_line(edit);
    char *line = memory_copy(info->buffer, (size_t)(info->cursor - info->buffer));
    size_t begins = completion_find(t->shell, line, add_found, &found), typed = strlen(line) - begins;
    unsigned char done = CC_ERROR;
    if (found.count && (strlen(found.first) > typed || found.count == 1)) {
        el_deletestr(edit, (int)typed);
        el_insertstr(edit, found.first);
        size_t length = strlen(found.first);
        if (found.count == 1 && length && found.first[length - 1] != '/')
            el_insertstr(edit, " ");
        done = CC_REFRESH;
    } else if (found.count > 1) {
        fprintf(t->shell->out, "\n%s\n", text_get(&found.all));
        done = CC_REDISPLAY;
    }
    text_free(&found.all);
    free(line);
    return done;
}

/* Where lines are kept: in the folder for such things of the XDG base directories. */
static bool history_path(char *path, size_t size)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (state && *state)
        snprintf(path, size, "%s/nestbox_history", state);
    else if (home && *home)
        snprintf(path, size, "%s/.nestbox_history", home);
    else
        return false;
    return true;
}

static void terminal_open(struct terminal *t)
{
    HistEvent event;
    char path[PATH_MAX];
    t->edit = el_init("nestbox", stdin, stdout, stderr);
    t->history = history_init();
    history(t->history, &event, H_SETSIZE, HISTORY_LINES);
    history(t->history, &event, H_SETUNIQUE, 1);
    if (history_path(path, sizeof(path)))
        history(t->history, &event, H_LOAD, path);
    el_set(t->edit, EL_CLIENTDATA, t);
    el_set(t->edit, EL_PROMPT, prompt);
    el_set(t->edit, EL_EDITOR, "emacs");
    el_set(t->edit, EL_SIGNAL, 0);
    el_set(t->edit, EL_HIST, history, t->history);
    el_set(t->edit, EL_ADDFN, "nestbox-complete", "Completes a word", complete_key);
    el_set(t->edit, EL_BIND, "^I", "nestbox-complete", NULL);
    el_set(t->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_source(t->edit, NULL);
}

static void terminal_close(struct terminal *t)
{
    HistEvent event;
    char path[PATH_MAX];
    mode_t mask = umask(077); /* lines are their typist's */
    if (history_path(path, sizeof(path)))
        history(t->history, &event, H_SAVE, path);
    umask(mask);
    history_end(t->history);
    el_end(t->edit);
}

static void measure(struct shell *shell)
{
    struct winsize size;
    if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col >= 40)
        shell->width = size.ws_col;
}

/* A whole statement in `text`. False at the end of the input. */
static bool read_statement(struct terminal *t, struct text *text)
{
    text->used = 0;
    t->goes_on = false;
    shell_interrupt_clear();
    for (;;) {
        int count = 0;
        el_set(t->edit, EL_PREP_TERM, 1); /* before the prompt, after which somebody may type */
        errno = 0;
        const char *line = el_gets(t->edit, &count);
        if (shell_interrupted()) {
            shell_interrupt_clear();
            fputc('\n', t->shell->out);
            text->used = 0;
            t->goes_on = false;
            el_reset(t->edit);
            continue;
        }
        if (!line || count <= 0)
            return text->used != 0;
        text_put(text, line, (size_t)count);
        /* An empty line ends a statement, whole or not. */
        if (shell_whole(text_get(text), text->used) || (t->goes_on && count == 1))
            return true;
        t->goes_on = true;
    }
}

int interactive_run(struct shell *shell)
{
    struct terminal t = {.shell = shell};
    struct text text = {0};
    HistEvent event;
    int status = 0;
    shell->interactive = true;
    terminal_open(&t);
    while (read_statement(&t, &text)) {
        if (strspn(text_get(&text), " \t\r\n") == text.used)
            continue;
        history(t.history, &event, H_ENTER, text_get(&text));
        shell_interrupt_clear();
        measure(shell);
        status = shell_run(shell, NULL, text_get(&text), text.used);
        fflush(shell->out);
        if (shell->exited)
            break;
    }
    if (!shell->exited)
        fputc('\n', shell->out);
    text_free(&text);
    terminal_close(&t);
    return shell->exited ? status : 0;
}
