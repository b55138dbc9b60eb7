/*
 * Raw mode. A shell gives the terminal to one of its jobs at a time, and takes it back when that job stops; no event
 * says so. So whoever reads the terminal calls terminal_take before each read. The terminal is restored to what it was
 * when it was taken first, or to what others have made of it since.
 *
 * The end may come in a signal's handler on any thread, where no lock can be taken. The handler waits a while for a
 * thread that is just taking the terminal, which would otherwise make it raw again while the process dies.
 */
#include "vmproc/terminal.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define TAKE_MS 1000

static struct termios saved, made; /* valid once taken */
static bool taken, paused;         /* [lock] */
static bool over;                  /* [a] */
static pid_t taker;                /* [a] the thread in take(); 0: none */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool is_raw; /* [a] restore() runs with the lock, and without it at the end */

static bool raw(void)
{
    return __atomic_load_n(&is_raw, __ATOMIC_SEQ_CST);
}

static void raw_set(bool is)
{
    __atomic_store_n(&is_raw, is, __ATOMIC_SEQ_CST);
}

/* In the background, the terminal belongs to another job. */
static bool in_background(void)
{
    pid_t front = tcgetpgrp(STDIN_FILENO);
    return front >= 0 && front != getpgrp();
}

/* Several threads may do this at once: the first to be done may end the process. */
static void restore(void)
{
    if (raw() && !in_background())
        tcsetattr(STDIN_FILENO, TCSANOW, &saved); /* TCSADRAIN would wait for a terminal that Ctrl-s stopped */
    raw_set(false);
}

static bool is_over(void)
{
    return __atomic_load_n(&over, __ATOMIC_SEQ_CST);
}

static bool another_takes(void)
{
    pid_t t = __atomic_load_n(&taker, __ATOMIC_SEQ_CST);
    return t && t != gettid();
}

void terminal_end(void)
{
    static const struct timespec ms = {.tv_nsec = 1000000};
    __atomic_store_n(&over, true, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < TAKE_MS && another_takes(); i++)
        nanosleep(&ms, NULL);
    restore();
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
    if (paused || is_over())
        return false;
    if (in_background()) {
        raw_set(false);
        return false;
    }
    if (raw() && !again)
        return true;
    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &now) < 0)
        return false;
    if (!taken || !same(&now, &made))
        saved = now;
    if (!taken)
        atexit(terminal_end);
    now = saved;
    cfmakeraw(&now);
    now.c_oflag |= OPOST | ONLCR; /* for our own lines among the guest's */
    now.c_cc[VMIN] = 1;
    now.c_cc[VTIME] = 0;
    raw_set(true);
    if (tcsetattr(STDIN_FILENO, TCSANOW, &now) < 0) {
        raw_set(false);
        return false;
    }
    tcgetattr(STDIN_FILENO, &made);
    taken = true;
    return true;
}

bool terminal_take(bool again)
{
    pthread_mutex_lock(&lock);
    __atomic_store_n(&taker, gettid(), __ATOMIC_SEQ_CST);
    bool ours = take(again);
    if (is_over())
        restore(); /* the end came meanwhile */
    __atomic_store_n(&taker, 0, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&lock);
    return ours;
}

void terminal_pause(void)
{
    pthread_mutex_lock(&lock);
    paused = true;
    restore();
    pthread_mutex_unlock(&lock);
}

void terminal_resume(void)
{
    pthread_mutex_lock(&lock);
    paused = false;
    pthread_mutex_unlock(&lock);
}
