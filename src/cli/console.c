/*
 * nestbox console: the terminal on the serial port of a running VM. Ctrl-] ends it, and the VM goes on.
 */
#include "base/write.h"
#include "cli/vm.h"
#include "manager/life.h"
#include "vmproc/terminal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define END_KEY 0x1d /* Ctrl-] */
#define LAST_BYTES 2000
#define ALL_BYTES 65536

struct options {
    bool no_history, print;
};

#define AT(field) offsetof(struct options, field)
static const struct setting rows[] = {
    {"no-history", SETTING_FLAG, AT(no_history), NULL, "without what was printed before"},
    {"print", SETTING_FLAG, AT(print), NULL, "print what is there, at most 64 KiB, and end"},
    {0},
};

/* Passes what is typed. Returns false if that ends the console; *typing: there may be more. */
static bool typed(int port, bool *typing)
{
    char keys[512];
    ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return true;
    if (n <= 0) {
        *typing = false; /* a pipe that ended; what the guest says is still wanted */
        shutdown(port, SHUT_WR);
        return true;
    }
    char *end = isatty(STDIN_FILENO) ? memchr(keys, END_KEY, (size_t)n) : NULL;
    return !write_all(port, keys, end ? (size_t)(end - keys) : (size_t)n) && !end;
}

/* Returns true if the VM ended it. */
static bool converse(int port, bool typing)
{
    for (;;) {
        struct pollfd p[] = {{port, POLLIN}, {typing ? STDIN_FILENO : -1, POLLIN}};
        char text[16384];
        if (typing)
            terminal_take(false);
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            return false;
        if (p[0].revents) {
            ssize_t n = read(port, text, sizeof(text));
            if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
                return true;
            if (n > 0 && write_all(STDOUT_FILENO, text, (size_t)n))
                return false;
        }
        if (p[1].revents && !typed(port, &typing))
            return false;
    }
}

static int run(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    const char *word[WORDS_MAX];
    struct error error;
    int status;
    struct store *store = command_begin(verb, argc, argv, &o, word, &status);
    if (!store)
        return status;
    int port = life_console(store, word[0], o.print ? ALL_BYTES : o.no_history ? 0 : LAST_BYTES, o.print, &error);
    if (port < 0)
        return command_end(store, port, &error);
    if (isatty(STDIN_FILENO) && !o.print)
        complain("console of %s; Ctrl-] ends it", word[0]);
    bool ended = converse(port, !o.print);
    terminal_end();
    close(port);
    if (isatty(STDOUT_FILENO) && !o.print)
        printf("\n");
    if (ended && isatty(STDIN_FILENO) && !o.print)
        complain("VM %s has ended", word[0]);
    return command_end(store, 0, &error);
}

const struct verb verb_console = {
    .name = "console",
    .summary = "The terminal on the serial port of a VM",
    .usage = "VM [OPTION]...",
    .options = {{rows}},
    .words = {{"VM", WORD_VM}},
    .about = "Connects the terminal to the serial port of a running VM. "
             "Ctrl-] ends that; the VM goes on, and others may be connected at the same time.",
    .run = run,
};
