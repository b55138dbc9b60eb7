/*
 * Raw mode. A shell gives the terminal to one of its jobs at a time, and takes it back when that job stops; no event
 * says so. So whoever reads the terminal calls terminal_take() before each read. What the terminal is restored to is
 * what it was when it was taken first, or has been made by others since.
 */
#include "vmproc/terminal.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static struct termios saved, made; /* valid once taken */
static bool taken;                 /* [lock] */
static volatile sig_atomic_t over;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static volatile sig_atomic_t is_raw;

/* In the background the terminal is somebody else's. */
static bool in_background(void)
{
    pid_t front = tcgetpgrp(STDIN_FILENO);
    return front >= 0 && front != getpgrp();
}

void terminal_restore(void)
{
    if (!is_raw)
        return;
    is_raw = 0;
    if (!in_background())
        tcsetattr(STDIN_FILENO, TCSANOW, &saved); /* TCSADRAIN would wait for a terminal that Ctrl-s stopped */
}

void terminal_end(void)
{
    over = 1;
    terminal_restore();
}

static bool same(const struct termios *a, const struct termios *b)
{
    return a->c_iflag == b->c_iflag && a->c_oflag == b->c_oflag && a->c_cflag == b->c_cflag &&
           a->c_lflag == b->c_lflag && memcmp(a->c_cc, b->c_cc, sizeof(a->c_cc)) == 0;
}

/* [lock] */
static bool take(bool again)
{
    struct termios now;
    if (over)
        return false;
    if (in_background()) {
        is_raw = 0;
        return false;
    }
    if (is_raw && !again)
        return true;
    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &now) < 0)
        return false;
    if (!taken || !same(&now, &made))
        saved = now;
    if (!taken)
        atexit(terminal_restore);
    now = saved;
    cfmakeraw(&now);
    now.c_oflag |= OPOST | ONLCR; /* for our own lines among the guest's */
    now.c_cc[VMIN] = 1;
    now.c_cc[VTIME] = 0;
    is_raw = 1;
    if (tcsetattr(STDIN_FILENO, TCSANOW, &now) < 0) {
        is_raw = 0;
        return false;
    }
    tcgetattr(STDIN_FILENO, &made);
    taken = true;
    return true;
}

bool terminal_take(bool again)
{
    pthread_mutex_lock(&lock);
    bool ours = take(again);
    if (over)
        terminal_restore(); /* the end came meanwhile */
    pthread_mutex_unlock(&lock);
    return ours;
}
