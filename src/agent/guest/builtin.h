/*
 * What the agent does by itself. Each is a function that runs in a process of its own, with standard streams, as if it
 * were a command: it may block.
 */
#ifndef AGENT_GUEST_BUILTIN_H
#define AGENT_GUEST_BUILTIN_H

struct builtin {
    const char *name, *usage;
    int least, most; /* arguments besides the name */
    int (*run)(int argc, char **argv);
};

extern const struct builtin builtins[]; /* ends without a name */

/* Returns the exit status; 127 if there is none of that name. */
int builtin_run(char **argv);
/* Prints a line on standard error. */
void grumble(const char *format, ...) __attribute__((format(printf, 1, 2)));

int info_run(int argc, char **argv);
int freeze_run(int argc, char **argv);

#endif
