/*
 * Signals are blocked, but while the owner of the VM waits in signals_poll, where a handler notes them; signals_next
 * takes those, and what is pending. No signalfd: whoever polls one is woken by each signal of the process, and those of
 * the vCPUs' timers come ten thousand times a second. The thread that owns the VM calls all of this; its other threads
 * inherit what is blocked.
 */
#include "vmproc/signals.h"

#include "accel/accel.h"
#include "vmproc/crash.h"
#include "vmproc/terminal.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

static u64 noted; /* [a] bit n - 1: signal n came in signals_poll */

static void note(int number)
{
    __atomic_fetch_or(&noted, BIT64(number - 1), __ATOMIC_RELAXED);
}

/* All signals that would end the process, except those of crashes, those that threads need, and those that reads and
 * writes report by their errors; and the signals of job control. */
static sigset_t taken_signals(void)
{
    static const int signals[] = {SIGINT,  SIGTERM,   SIGHUP, SIGQUIT,   SIGUSR1, SIGUSR2, SIGALRM, SIGIO,
                                  SIGPROF, SIGVTALRM, SIGPWR, SIGSTKFLT, SIGXCPU, SIGTSTP, SIGCONT};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_LEN(signals); i++)
        sigaddset(&set, signals[i]);
    for (int i = SIGRTMIN; i <= SIGRTMAX; i++)
        if (i != ACCEL_SIGNAL_TIMER && i != ACCEL_SIGNAL_KICK)
            sigaddset(&set, i);
    return set;
}

void signals_open(struct signals *s, void (*continued)(void *opaque), void *opaque)
{
    sigset_t taken = taken_signals();
    *s = (struct signals){.continued = continued, .opaque = opaque};
    pthread_sigmask(SIG_BLOCK, &taken, &s->outside);
    /* Reads and writes report what the first four do; an accelerator that is used takes its own. */
    const int ignored[] = {SIGPIPE, SIGTTIN, SIGTTOU, SIGXFSZ, ACCEL_SIGNAL_TIMER, ACCEL_SIGNAL_KICK};
    for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
        signal(ignored[i], SIG_IGN);
    for (int i = 1; i <= SIGRTMAX; i++)
        if (sigismember(&taken, i))
            signal(i, note);
}

void signals_close(struct signals *s)
{
    sigset_t taken = taken_signals();
    struct sigaction now;
    for (int i = 1; i <= SIGRTMAX; i++)
        if (sigismember(&taken, i) && sigaction(i, NULL, &now) == 0 && now.sa_handler == note)
            signal(i, SIG_DFL);
    pthread_sigmask(SIG_SETMASK, &s->outside, NULL);
}

int signals_poll(struct pollfd *fds, unsigned count, int timeout_ms)
{
    sigset_t taken = taken_signals(), mask;
    const struct timespec timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000000L};
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    for (int i = 1; i <= SIGRTMAX; i++)
        if (sigismember(&taken, i))
            sigdelset(&mask, i);
    int ready = ppoll(fds, count, timeout_ms < 0 ? NULL : &timeout, &mask);
    if (ready >= 0 || errno != EINTR)
        return ready;
    for (unsigned i = 0; i < count; i++)
        fds[i].revents = 0;
    return 0;
}

/* The next signal that was noted or is pending, or 0. */
static int next(void)
{
    u64 set = __atomic_load_n(&noted, __ATOMIC_RELAXED);
    if (!set) {
        sigset_t taken = taken_signals();
        const struct timespec at_once = {0};
        int number = sigtimedwait(&taken, NULL, &at_once);
        return number > 0 ? number : 0;
    }
    int number = __builtin_ctzll(set) + 1;
    __atomic_fetch_and(&noted, ~BIT64(number - 1), __ATOMIC_RELAXED);
    return number;
}

int signals_next(struct signals *s)
{
    int number;
    while ((number = next())) {
        if (number == SIGTSTP) {
            terminal_pause();
            kill(getpid(), SIGSTOP);
            terminal_resume();
        } else if (number == SIGCONT) {
            s->continued(s->opaque);
        } else {
            return number;
        }
    }
    return 0;
}

void signals_end_at_once(void)
{
    crash_end_by(SIGINT);
    crash_end_by(SIGTERM);
}

void signals_block(void)
{
    sigset_t taken = taken_signals();
    pthread_sigmask(SIG_BLOCK, &taken, NULL);
}
