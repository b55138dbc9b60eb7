/*
 * Signals that end the process at once. The owner of the VM registers files; handlers run on any thread.
 */
#include "vmproc/crash.h"

#include "vmproc/terminal.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

#define FILES 4

static const char *files[FILES]; /* [a] */

void crash_remove(const char *path)
{
    for (unsigned i = 0; i < FILES; i++) {
        if (!files[i]) {
            __atomic_store_n(&files[i], path, __ATOMIC_SEQ_CST);
            return;
        }
    }
}

void crash_forget(const char *path)
{
    for (unsigned i = 0; path && i < FILES; i++) {
        if (files[i] == path) {
            __atomic_store_n(&files[i], NULL, __ATOMIC_SEQ_CST);
            unlink(path);
        }
    }
}

void crash_undo(void)
{
    terminal_end();
    for (unsigned i = 0; i < FILES; i++) {
        const char *path = __atomic_exchange_n(&files[i], NULL, __ATOMIC_SEQ_CST);
        if (path)
            unlink(path);
    }
}

static void undo_and_end(int signal_number)
{
    crash_undo();
    raise(signal_number); /* now with its default action: SA_RESETHAND */
}

static void catch (int signal_number)
{
    struct sigaction action = {.sa_handler = undo_and_end, .sa_flags = (int)SA_RESETHAND};
    sigaction(signal_number, &action, NULL);
}

void crash_end_by(int signal_number)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal_number);
    catch (signal_number);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

void crash_watch(void)
{
    static const int crashes[] = {SIGABRT, SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGSYS};
    for (size_t i = 0; i < ARRAY_LEN(crashes); i++)
        catch (crashes[i]);
}
