/*
 * Signals by a signalfd. The thread that owns the VM calls all of this; its other threads inherit what is blocked.
 */
#include "vmproc/signals.h"

#include "accel/accel.h"
#include "vmproc/crash.h"
#include "vmproc/terminal.h"

#include <errno.h>
#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>

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

int signals_open(struct signals *s, void (*continued)(void *opaque), void *opaque)
{
    sigset_t taken = taken_signals();
    *s = (struct signals){.continued = continued, .opaque = opaque};
    pthread_sigmask(SIG_BLOCK, &taken, &s->outside);
    /* Reads and writes report what the first four do; an accelerator that is used takes its own. */
    const int ignored[] = {SIGPIPE, SIGTTIN, SIGTTOU, SIGXFSZ, ACCEL_SIGNAL_TIMER, ACCEL_SIGNAL_KICK};
    for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
        signal(ignored[i], SIG_IGN);
    s->fd = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
    return s->fd < 0 ? -errno : 0;
}

void signals_close(struct signals *s)
{
    if (s->fd >= 0)
        close(s->fd);
    pthread_sigmask(SIG_SETMASK, &s->outside, NULL);
}

int signals_next(struct signals *s)
{
    struct signalfd_siginfo info;
    while (read(s->fd, &info, sizeof(info)) == sizeof(info)) {
        int number = (int)info.ssi_signo;
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
