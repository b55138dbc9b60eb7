/*
 * What direct_process.c and direct_start.c share: a process, and the code in its page.
 */
#ifndef ACCEL_DIRECT_PARTS_H
#define ACCEL_DIRECT_PARTS_H

#include "accel/direct_process.h"

#include <elf.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/user.h>

#ifndef PTRACE_SYSEMU
#define PTRACE_SYSEMU 31
#endif
#ifndef PTRACE_SETSIGMASK
#define PTRACE_SETSIGMASK 0x420b
#endif
#ifndef NT_X86_XSTATE
#define NT_X86_XSTATE 0x202
#endif

#define KICK SIGUSR1
#define CS_64 0x33 /* Linux' selectors of 64-bit user code */
#define SS_USER 0x2b
#define DIRECT_LOW 0x10000ull /* addresses that a process can map */
#define DIRECT_HIGH 0x7ffffffff000ull
#define FIRST_LA DIRECT_LOW /* where the program's page is at first */
#define STUB_PAGES 3        /* code, and two of the list */
#define STUB_FD 3           /* descriptors in the process: the page, and from the next on the files */
#define VECTORS_MAX 16384
#define VECTORS_OURS 2688 /* up to the end of AVX-512 state in the standard format */

/* One system call of the list. */
struct request {
    u64 number, arg[6];
    u64 expected; /* the list ends early if the result is another one */
};
_Static_assert(sizeof(struct request) * DIRECT_CHANGES * 2 == (STUB_PAGES - 1) * PAGE_SIZE, "the list's size");

/* Code of the page: executes R12 requests from RBX on, with the secret of R13 and R14 in them, and stops if R15 is 0;
 * else R15 points to the guest's registers, with which it goes on. Flags are the guest's all the time. And code that
 * loads flags, and stops. */
extern const u8 direct_stub[] __attribute__((visibility("hidden")));
extern const u8 direct_stub_syscall[] __attribute__((visibility("hidden")));
extern const u8 direct_stub_load[] __attribute__((visibility("hidden")));
extern const u8 direct_stub_go[] __attribute__((visibility("hidden")));
extern const u8 direct_stub_popf[] __attribute__((visibility("hidden")));
extern const u8 direct_stub_end[] __attribute__((visibility("hidden")));

/* The registers that guest code goes on with behind the list, where the list's second half would be. */
struct resume {
    u64 gpr[16];
    u64 rip;
};

struct direct_process {
    struct direct_host *host;
    u32 index;
    pid_t pid;
    pid_t tracer; /* the thread that may ask it for anything */
    int cpu;      /* the CPU of the host that it is bound to; -1: none */
    int fd;       /* of its page */
    u32 files;    /* those of the host that it has */
    struct request *list;
    bool host_filter; /* we have a filter of system calls, and so has it: guest code's calls must not meet that */
    u32 waiting;      /* so many requests of it are to be executed before guest code goes on */
    u32 lists;        /* how many were executed */
    u64 request_ns;   /* CPU time that one takes */
    u64 requests_ns;  /* that those took which were executed together with guest code */
    u64 secret[2];    /* in the upper halves of the fourth and fifth argument of what the filter lets through */
    u64 stub;         /* where the page is in it */
    struct user_regs_struct regs;
    bool loaded;      /* it has these */
    bool traps_known; /* breakpoints stop it */
    u64 used_ns;      /* CPU time that it had until it stopped */
    u64 vectors_size; /* of its XSAVE image */
    u8 vectors[VECTORS_MAX] __attribute__((aligned(64)));
};

/* The program that it begins as. */
struct program {
    Elf64_Ehdr head;
    Elf64_Phdr segment;
    u8 code[320];
};
_Static_assert(offsetof(struct program, code) == 120 && PAGE_SIZE * 2 == 0x2000 && offsetof(struct resume, rip) == 128,
               "the way to the guest's RIP");

static inline struct request direct_request(long number, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
    return (struct request){.number = (u64)number, .arg = {a, b, c, d, e, f}};
}

/* direct_start.c */
/* A process that waits in front of its program's first instruction. Returns 0 or -errno. */
int direct_start(struct direct_process *p);
/* Leaves nothing mapped but the page, and nothing allowed but changes of mappings. */
int direct_settle_in(struct direct_process *p);
/* A random place for the page. */
u64 direct_stub_place(void);

/* direct_process.c */
/* Waits until it stops. Returns the status; 0: it is dead. */
int direct_stopped(struct direct_process *p);
/* Runs the page's code from r->rip on until it stops by itself. */
bool direct_stub_run(struct direct_process *p, struct user_regs_struct *r);
/* Has it execute the first `count` requests of the list. Returns how many had the result that was expected; *result is
 * the last one's. */
u32 direct_list_run(struct direct_process *p, u32 count, u64 *result);

#endif
