/*
 * Raw mode, and its end on every way out: the normal one, exit(), and a crash. Crash signals
 * restore the terminal and then have their usual effect (SIGBUS: buserror.c); whoever installs handlers
 * for them later should pass on what it cannot explain.
 */
#include "vmproc/terminal.h"

#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

static struct termios saved; /* valid while is_raw */
static volatile sig_atomic_t is_raw;

void terminal_restore(void)
{
    if (is_raw) {
        is_raw = 0;
        tcsetattr(STDIN_FILENO, TCSANOW, &saved); /* TCSADRAIN would wait for a terminal that Ctrl-s stopped */
    }
}

static void restore_and_end(int signal_number)
{
    terminal_restore();
    raise(signal_number); /* SA_RESETHAND: the default action */
}

static void catch (int signal_number)
{
    struct sigaction action = {.sa_handler = restore_and_end, .sa_flags = (int)SA_RESETHAND};
    sigaction(signal_number, &action, NULL);
}

void terminal_end_by(int signal_number)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal_number);
    catch (signal_number);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

bool terminal_raw(void)
{
    static const int crashes[] = {SIGABRT, SIGSEGV, SIGILL, SIGFPE, SIGSYS};
    struct termios raw;
    pid_t front = tcgetpgrp(STDIN_FILENO);
    if (front >= 0 && front != getpgrp()) /* in the background the terminal is somebody else's */
        return false;
    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &saved) < 0)
        return false;
    raw = saved;
    cfmakeraw(&raw);
    raw.c_oflag |= OPOST | ONLCR; /* for our own lines among the guest's */
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    for (size_t i = 0; i < ARRAY_LEN(crashes); i++)
        catch (crashes[i]);
    atexit(terminal_restore);
    is_raw = 1;
    if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) < 0) {
        is_raw = 0;
        return false;
    }
    return true;
}
