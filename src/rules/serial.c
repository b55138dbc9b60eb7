/*
 * Reads from text where a serial port ends. Whatever looks like a word of ours, or of another program, is never taken
 * for the name of a file: file:PATH is there for files of such names.
 */
#include "rules/serial.h"

#include "base/spelling.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NAME SETTING("serial")

static const struct {
    const char *word;
    enum serial_kind kind;
} words[] = {
    {"stdio", SERIAL_STDIO}, {"none", SERIAL_NONE},    {"pty", SERIAL_PTY},
    {"file:", SERIAL_FILE},  {"unix:", SERIAL_SOCKET},
};

static const char socat[] = "use unix:PATH, and socat to carry it over a network";
static const char *const socket_words[] = {"server", "nowait", "server=on", "server=off", "wait=on", "wait=off"};

/* What other programs call it, and what to write here. */
static const struct {
    const char *word, *hint;
} foreign[] = {
    {"tcp:", socat},
    {"tcp-listen:", socat},
    {"udp:", socat},
    {"telnet:", socat},
    {"ssh:", socat},
    {"websocket:", socat},
    {"tcp", socat},
    {"telnet", socat},
    {"mon:", "there is no monitor; use stdio, where Ctrl-a h shows our keys"},
    {"chardev:", "use stdio, pty, file:PATH or unix:PATH"},
    {"pipe:", "use file:PATH with the name of a pipe, or unix:PATH"},
    {"fd:", "use file:/dev/fd/N"},
    {"fdset:", "use file:/dev/fd/N"},
    {"exec:", "use unix:PATH, and socat to run a program there"},
    {"tty:", "use file:PATH for output, or unix:PATH and socat for both ways"},
    {"vc", "there is no window; use stdio or pty"},
    {"vc:", "there is no window; use stdio or pty"},
    {"con", "use stdio"},
    {"con:", "use stdio"},
    {"console", "use stdio"},
    {"tty", "use stdio for this terminal, or pty for another"},
    {"null", "use none"},
    {"null:", "use none"},
    {"off", "use none"},
    {"no", "use none"},
    {"-", "use stdio"},
    {"stdin", "use stdio"},
    {"stdout", "use stdio"},
    {"stderr", "use file:/dev/stderr"},
    {"unix", "use unix:PATH"},
    {"socket", "use unix:PATH"},
    {"socket:", "use unix:PATH"},
    {"file", "use file:PATH"},
};

static bool matches(const char *text, const char *word)
{
    size_t n = strlen(word);
    return word[n - 1] == ':' ? strncmp(text, word, n) == 0 : strcmp(text, word) == 0;
}

static const char *word_name(const void *opaque, unsigned index)
{
    return index < ARRAY_LEN(words) ? words[index].word : NULL;
}

static int refuse(struct error *error, const char *text, const char *hint)
{
    error_set(error, -EINVAL, NAME " %.200s: that is not stdio, none, pty, file:PATH or unix:PATH", text);
    return error_hint(error, hint);
}

/* Returns the length of the word before a colon that is no part of a path, with the colon; or of the whole text if it
 * is one word; or 0. */
static size_t word_length(const char *text)
{
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-");
    return text[n] == ':' ? n + 1 : text[n] ? 0 : n;
}

static int check_words(const char *text, struct error *error)
{
    char word[16], hint[128];
    for (unsigned i = 0; i < ARRAY_LEN(foreign); i++)
        if (matches(text, foreign[i].word))
            return refuse(error, text, foreign[i].hint);
    size_t n = word_length(text);
    if (!n)
        return 0;
    snprintf(word, sizeof(word), "%.*s", n < sizeof(word) ? (int)n : (int)sizeof(word) - 1, text);
    const char *close = n < sizeof(word) ? spelling_closest(word, word_name, NULL) : NULL;
    if (!close && text[n - 1] != ':')
        return 0;
    if (close)
        snprintf(hint, sizeof(hint), "did you mean %s? A file of that name is file:NAME", close);
    else
        snprintf(hint, sizeof(hint), "a file of that name is file:NAME");
    return refuse(error, text, hint);
}

static int socket_options(struct serial *s, struct error *error)
{
    char *comma = strrchr(s->path, ',');
    if (!comma)
        return 0;
    if (strcmp(comma + 1, "wait") == 0) {
        *comma = 0;
        s->wait = true;
        return 0;
    }
    for (unsigned i = 0; i < ARRAY_LEN(socket_words); i++)
        if (strcmp(comma + 1, socket_words[i]) == 0)
            return error_set(
                error, -EINVAL,
                NAME " unix:%.200s: it is a server that does not wait, and one that does with unix:PATH,wait", s->path);
    return 0;
}

int serial_parse(const char *text, struct serial *s, struct error *error)
{
    size_t skip = 0;
    s->kind = SERIAL_FILE;
    s->wait = false;
    s->path[0] = 0;
    if (!*text)
        return error_set(error, -EINVAL, NAME " without stdio, none, pty, file:PATH or unix:PATH");
    for (unsigned i = 0; i < ARRAY_LEN(words); i++) {
        if (matches(text, words[i].word)) {
            s->kind = words[i].kind;
            skip = strlen(words[i].word);
        }
    }
    if (!skip) {
        int e = check_words(text, error);
        if (e)
            return e;
    }
    if (strlen(text + skip) >= sizeof(s->path))
        return error_set(error, -EINVAL, NAME " %.60s...: a path of more than %u characters", text,
                         SERIAL_PATH_MAX - 1);
    strcpy(s->path, text + skip);
    int e = s->kind == SERIAL_SOCKET ? socket_options(s, error) : 0;
    if (!e && s->kind >= SERIAL_FILE && !s->path[0])
        return error_set(error, -EINVAL, NAME " %s without a path", text);
    return e;
}
