/*
 * Starting processes that live on by themselves: of ours (nestbox switch run, nestbox worker), and programs.
 */
#ifndef PROCESS_SPAWN_H
#define PROCESS_SPAWN_H

#include "process/ask.h"

#include <sys/types.h>

/*
 * Starts this program again, as a process that belongs to no terminal and is nobody's child here. `argv` ends with
 * NULL. What it prints goes to the file `log`, and NESTBOX_HOME, if it is set, becomes `home`. Then waits until it
 * reports by spawn_report that it serves, or why not, and returns that.
 */
int MUST_CHECK spawn_self(const char *const *argv, const char *home, const char *log, const struct ask_peer *peer,
                          struct error *error);
/* In such a process: the descriptor to report to; -1: nobody waits. Call it once, before anything else is started. */
int spawn_ready(void);
/* Tells whoever waits how the start ended, and closes the descriptor. -1 is ignored. */
void spawn_report(int ready, const struct error *error);

/*
 * Starts argv[0], a path, in a session of its own; it lives on if this process ends. Its standard output and errors go
 * to `log`. The descriptors `pass` (-1 ends them) are open in it, by their numbers. It begins when spawn_go is called
 * with *gate, and never if this process ends before: so there is time to note which process it is. Returns the process,
 * which is a child as long as this process lives, or -errno. `enter`, if it is not NULL, is
 * called in the new process before it becomes the program.
 */
pid_t spawn_program(const char *const *argv, int log, const int *pass, int *gate, void (*enter)(void *opaque),
                    void *opaque);
void spawn_go(int gate);

/* When a process was started, in ticks since the host's start; 0: there is none. With its number it names a process for
 * good. */
u64 spawn_started(pid_t pid);
/* How long ago that was, whatever the host's clock was set to meanwhile. */
u64 spawn_age_ms(u64 started);
/* Returns a pidfd of the process that was started then, or -ESRCH. */
int MUST_CHECK spawn_find(pid_t pid, u64 started);

#endif
