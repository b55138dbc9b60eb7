/*
 * Programs that do what is strange in user mode, as /init of a guest or natively. Each subject runs in a process of its
 * own, checks what must hold wherever it runs, and may print lines of results that are the same everywhere.
 */
#ifndef TESTS_BOOT_STRANGE_H
#define TESTS_BOOT_STRANGE_H

#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ul
#define LENGTH(a) (sizeof(a) / sizeof *(a))

extern const char *subject;
extern unsigned failures;

struct subject {
    const char *name;
    void (*run)(void);
};
extern const struct subject memory_subjects[], processor_subjects[], debugged_subjects[];

#define CHECK(true_here, ...)                                                                                          \
    do {                                                                                                               \
        if (!(true_here) && __atomic_fetch_add(&failures, 1, __ATOMIC_SEQ_CST) < 8)                                    \
            printf("strange: %s FAILED, line %d: ", subject, __LINE__), printf(__VA_ARGS__), putchar('\n');            \
    } while (0)
/* A result that is the same everywhere. */
#define RESULT(...) (printf("strange: = %s: ", subject), printf(__VA_ARGS__), putchar('\n'))
#define SKIP(why) (printf("strange: %s skipped: %s\n", subject, why))

/* Pages at an address of the kernel's choice. */
static inline uint8_t *pages(unsigned count, int rights)
{
    uint8_t *p = mmap(NULL, count * PAGE, rights, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        exit(9);
    return p;
}

/* -- accesses that may fault -- */

extern __thread sigjmp_buf fault_back;
extern __thread volatile sig_atomic_t fault_caught;
extern __thread siginfo_t fault_info;
void faults_catch(void);

/* Executes the statement; returns the signal that it raised, or 0. */
#define FAULT_OF(statement)                                                                                            \
    ({                                                                                                                 \
        fault_caught = 1;                                                                                              \
        if (!sigsetjmp(fault_back, 0)) {                                                                               \
            fault_info.si_signo = 0;                                                                                   \
            statement;                                                                                                 \
            fault_caught = 0;                                                                                          \
        }                                                                                                              \
        fault_info.si_signo;                                                                                           \
    })

/* For functions with instructions whose pages direct execution leaves to the translator: all other code lies apart. */
#define UNFIT __attribute__((section("unfit"), aligned(4096), noinline))
/* Serializes what is executed. */
void serialize(void);

#define READ(at) (*(volatile uint8_t *)(at))
#define WRITE(at, value) (*(volatile uint8_t *)(at) = (value))

#endif
