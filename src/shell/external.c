/*
 * Programs of the host. They get Ctrl-C themselves, as they are in our process group.
 */
#include "shell/external.h"

#include "shell/failure.h"
#include "shell/output.h"
#include "shell/script.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static bool executable(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISREG(st.st_mode) && !access(path, X_OK);
}

char *external_find(const char *name)
{
    const char *path = getenv("PATH");
    struct text text = {0};
    if (!*name)
        return NULL;
    if (strchr(name, '/')) {
        char *whole = script_path(name);
        if (executable(whole))
            return whole;
        free(whole);
        return NULL;
    }
    for (path = path ? path : "/usr/bin:/bin"; *path; path += strcspn(path, ":"), path += *path == ':') {
        text.used = 0;
        text_put(&text, path, strcspn(path, ":"));
        text_format(&text, "/%s", name);
        if (executable(text_get(&text)))
            return text.at;
    }
    text_free(&text);
    return NULL;
}

static void add_words(struct shell *shell, const struct value *value, struct value *words)
{
    size_t count = value->kind == VALUE_ARRAY ? value->array.count : value->kind != VALUE_NULL;
    for (size_t i = 0; i < count; i++) {
        const struct value *one = value->kind == VALUE_ARRAY ? value->array.item[i] : value;
        struct text text = {0};
        if (one->kind == VALUE_NUMBER && one->spelling)
            text_puts(&text, one->spelling);
        else
            value_put(one, &text);
        array_add(words, value_text_take(&shell->heap, &text));
    }
}

enum flow external_words(struct shell *shell, const struct node *command, struct value *words)
{
    for (const struct node *n = command->list; n; n = n->next) {
        struct value *value = &value_null;
        struct text text = {0};
        enum flow flow = FLOW_NEXT;
        if (n->kind == NODE_REDIRECT)
            continue;
        if (n->name) { /* as it was written, up to its value */
            text_format(&text, "-%s%s", n->name, n->flag ? ":" : "");
            if (n->left)
                flow = eval_expression(shell, n->left, &value);
            value_put(value, &text);
            array_add(words, value_text_take(&shell->heap, &text));
        } else {
            flow = n->left->kind == NODE_SPLAT ? (value = variable_get(shell, n->left->name), FLOW_NEXT)
                                               : eval_expression(shell, n->left, &value);
            add_words(shell, value, words);
        }
        if (flow != FLOW_NEXT)
            return flow;
    }
    return FLOW_NEXT;
}

/* A file in memory with the lines of the input, from its beginning. */
static int input_file(struct shell *shell, const struct value *inputs)
{
    struct text text = {0};
    output_format(shell, inputs, &text);
    int fd = memfd_create("input", MFD_CLOEXEC);
    if (fd >= 0 && (write(fd, text_get(&text), text.used) != (ssize_t)text.used || lseek(fd, 0, SEEK_SET))) {
        close(fd);
        fd = -1;
    }
    text_free(&text);
    return fd;
}

/* Puts each line that comes, until the end. */
static enum flow put_lines(struct shell *shell, int fd, struct sink *out)
{
    FILE *f = fdopen(fd, "r");
    char *line = NULL;
    size_t size = 0;
    ssize_t length;
    enum flow flow = FLOW_NEXT;
    if (!f) {
        close(fd);
        return FLOW_NEXT;
    }
    while (flow == FLOW_NEXT && (length = getline(&line, &size, f)) >= 0) {
        if (length && line[length - 1] == '\n')
            length--;
        flow = out->put(out, value_text_n(&shell->heap, line, (size_t)length));
    }
    free(line);
    fclose(f);
    return flow;
}

static int start(const char *program, char **words, int in, int out, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGINT);
    sigaddset(&defaults, SIGPIPE);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    if (in >= 0)
        posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    if (out >= 0)
        posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    int e = posix_spawn(pid, program, &actions, &attributes, words, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return e;
}

static void finished(struct shell *shell, pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    s64 code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    scope_set(&shell->global, "LASTEXITCODE", value_number(&shell->heap, code));
    shell->ok = code == 0;
}

/* `inputs` NULL: it has our standard input. */
static enum flow run(struct shell *shell, const struct node *command, const char *program, const struct value *words,
                     const struct value *inputs, struct sink *out)
{
    int in = -1, pipes[2] = {-1, -1};
    pid_t pid;
    enum flow flow = FLOW_NEXT;
    char **argv = memory_get((words->array.count + 2) * sizeof(*argv));
    argv[0] = (char *)(uintptr_t)program;
    for (size_t i = 0; i < words->array.count; i++)
        argv[i + 1] = words->array.item[i]->text;
    output_flush(shell);
    fflush(shell->out);
    bool ours = out == &shell->output && fileno(shell->out) == STDOUT_FILENO;
    int e = inputs && (in = input_file(shell, inputs)) < 0 ? errno : 0;
    if (!e && !ours && pipe2(pipes, O_CLOEXEC))
        e = errno;
    if (!e)
        e = start(program, argv, in, pipes[1], &pid);
    free(argv);
    if (in >= 0)
        close(in);
    if (pipes[1] >= 0)
        close(pipes[1]);
    if (e) {
        const struct failure f = {
            RESOURCE_UNAVAILABLE, "NativeCommandFailed", "ApplicationFailedException", program, program,
            .node = command};
        if (pipes[0] >= 0)
            close(pipes[0]);
        return failure_throw(shell, &f, "cannot start %s: %s", program, strerror(e));
    }
    if (pipes[0] >= 0)
        flow = put_lines(shell, pipes[0], out);
    finished(shell, pid);
    return flow;
}

enum flow external_run(struct shell *shell, const struct node *command, const char *program, const struct value *inputs,
                       bool piped, struct sink *out)
{
    struct value *words = value_array(&shell->heap);
    enum flow flow = external_words(shell, command, words);
    return flow == FLOW_NEXT ? run(shell, command, program, words, piped ? inputs : NULL, out) : flow;
}

enum flow external_start(struct shell *shell, const struct node *command, const char *program,
                         const struct value *words, struct sink *out)
{
    return run(shell, command, program, words, NULL, out);
}
