/*
 * Runs a program on a pseudo-terminal of its own and types: pty STEP... -- COMMAND ARG...
 *
 *   expect:TEXT  wait until TEXT comes, after what the expectation before matched
 *   send:TEXT    type it
 *   paste:FILE   type what is in it, as fast as the terminal takes it, and read on meanwhile
 *   pause:MS     do not read for so long
 *   raw, cooked  the terminal must be in that mode now, or within ten seconds
 *   signal:N     send the program a signal
 *   hangup       take the terminal away
 *   columns:N    the terminal is so wide from the beginning; comes first
 *
 * Whatever the program writes goes to standard output. The exit status is the program's, or 128 + N if signal N ended
 * it; 100 and a line on standard error when a step fails, or when the terminal is not at the end what it was at the
 * beginning.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS 20000
#define FAILED 100

static int master, slave;
static pid_t child;
static char seen[4 << 20];
static size_t seen_size, matched;

static _Noreturn void fail(const char *what, const char *text)
{
    fprintf(stderr, "pty: %s%s\n", what, text);
    kill(child, SIGKILL);
    exit(FAILED);
}

static long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Takes output for at most `ms`. Returns false if there was none. */
static bool take(int ms)
{
    struct pollfd fd = {master, POLLIN, 0};
    if (poll(&fd, 1, ms) <= 0)
        return false;
    ssize_t n = read(master, seen + seen_size, sizeof(seen) - 1 - seen_size);
    if (n <= 0)
        return false;
    (void)!write(STDOUT_FILENO, seen + seen_size, (size_t)n);
    seen_size += (size_t)n;
    return true;
}

static void expect(const char *text)
{
    long until = now_ms() + WAIT_MS;
    for (;;) {
        const char *at = memmem(seen + matched, seen_size - matched, text, strlen(text));
        if (at) {
            matched = (size_t)(at - seen) + strlen(text);
            return;
        }
        long left = until - now_ms();
        if (left <= 0 || seen_size == sizeof(seen) - 1)
            fail("this did not come: ", text);
        take((int)left);
    }
}

static void mode(bool raw)
{
    struct termios t;
    tcflag_t cooked = ICANON | ECHO | ISIG | IEXTEN;
    for (long until = now_ms() + 10000;;) {
        tcgetattr(slave, &t);
        if ((t.c_lflag & cooked) == (raw ? 0 : cooked))
            return;
        if (now_ms() > until)
            fail("the terminal is not ", raw ? "raw" : "cooked");
        poll(NULL, 0, 10);
    }
}

static void paste(const char *path)
{
    static char text[1 << 20];
    int fd = open(path, O_RDONLY);
    ssize_t size = read(fd, text, sizeof(text)), sent = 0;
    close(fd);
    fcntl(master, F_SETFL, O_NONBLOCK);
    for (long until = now_ms() + WAIT_MS; sent < size;) {
        ssize_t n = write(master, text + sent, (size_t)(size - sent));
        if (n > 0)
            sent += n;
        if (now_ms() > until)
            fail("the terminal does not take all of ", path);
        take(n > 0 ? 0 : 20);
    }
    fcntl(master, F_SETFL, 0);
}

static void step(const char *s)
{
    if (strncmp(s, "expect:", 7) == 0)
        expect(s + 7);
    else if (strncmp(s, "send:", 5) == 0 && write(master, s + 5, strlen(s + 5)) == (ssize_t)strlen(s + 5))
        return;
    else if (strncmp(s, "paste:", 6) == 0)
        paste(s + 6);
    else if (strncmp(s, "pause:", 6) == 0)
        poll(NULL, 0, atoi(s + 6));
    else if (strcmp(s, "raw") == 0 || strcmp(s, "cooked") == 0)
        mode(*s == 'r');
    else if (strncmp(s, "signal:", 7) == 0)
        kill(child, atoi(s + 7));
    else if (strcmp(s, "hangup") == 0)
        close(master), master = -1;
    else if (strncmp(s, "columns:", 8) != 0)
        fail("cannot do ", s);
}

static int start(char **command, const char *first, struct termios *before)
{
    master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0 || grantpt(master) || unlockpt(master))
        return -1;
    slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0 || tcgetattr(slave, before))
        return -1;
    if (strncmp(first, "columns:", 8) == 0)
        ioctl(slave, TIOCSWINSZ, &(struct winsize){.ws_row = 24, .ws_col = (unsigned short)atoi(first + 8)});
    child = fork();
    if (child)
        return child < 0 ? -1 : 0;
    setsid();
    ioctl(slave, TIOCSCTTY, 0);
    for (int fd = 0; fd < 3; fd++)
        dup2(slave, fd);
    execvp(*command, command);
    _exit(127);
}

int main(int argc, char **argv)
{
    int command = 1, status;
    while (command < argc && strcmp(argv[command], "--") != 0)
        command++;
    struct termios before, after;
    if (command + 1 >= argc || start(argv + command + 1, argv[1], &before))
        return FAILED;
    for (int i = 1; i < command; i++)
        step(argv[i]);
    long until = now_ms() + WAIT_MS;
    while (waitpid(child, &status, WNOHANG) == 0) {
        if (now_ms() > until)
            fail("the program does not end", "");
        if (master < 0 || !take(20))
            poll(NULL, 0, 10);
    }
    while (master >= 0 && take(100))
        ;
    tcgetattr(slave, &after);
    if (master >= 0 &&
        (before.c_iflag != after.c_iflag || before.c_oflag != after.c_oflag || before.c_cflag != after.c_cflag ||
         before.c_lflag != after.c_lflag || memcmp(before.c_cc, after.c_cc, sizeof(before.c_cc)) != 0))
        fail("the terminal is not what it was", "");
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
