/*
 * How a process of direct_process.c begins: a program of one page, what is left of that, and the filter.
 */
#include "accel/direct_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

__asm__(".pushsection .rodata\n"
        ".global direct_stub, direct_stub_syscall, direct_stub_load\n"
        ".hidden direct_stub, direct_stub_syscall, direct_stub_load\n"
        ".global direct_stub_go, direct_stub_popf, direct_stub_end\n"
        ".hidden direct_stub_go, direct_stub_popf, direct_stub_end\n"
        "direct_stub:\n"
        "1: mov (%rbx), %rax\n"
        "mov 8(%rbx), %rdi\n"
        "mov 16(%rbx), %rsi\n"
        "mov 24(%rbx), %rdx\n"
        "mov 32(%rbx), %r10\n"
        "mov 40(%rbx), %r8\n"
        "mov 48(%rbx), %r9\n"
        "lea (%r10,%r13), %r10\n"
        "lea (%r8,%r14), %r8\n"
        "direct_stub_syscall: syscall\n"
        "mov 56(%rbx), %rcx\n"
        "not %rcx\n"
        "lea 1(%rcx,%rax), %rcx\n"
        "jrcxz 3f\n"
        "2: int3\n"
        "3: lea 64(%rbx), %rbx\n"
        "lea -1(%r12), %r12\n"
        "mov %r12, %rcx\n"
        "jrcxz 4f\n"
        "jmp 1b\n"
        "4: mov %r15, %rcx\n"
        "jrcxz 2b\n"
        "direct_stub_load: mov (%r15), %rax\n"
        "mov 8(%r15), %rcx\n"
        "mov 16(%r15), %rdx\n"
        "mov 24(%r15), %rbx\n"
        "mov 32(%r15), %rsp\n"
        "mov 40(%r15), %rbp\n"
        "mov 48(%r15), %rsi\n"
        "mov 56(%r15), %rdi\n"
        "mov 64(%r15), %r8\n"
        "mov 72(%r15), %r9\n"
        "mov 80(%r15), %r10\n"
        "mov 88(%r15), %r11\n"
        "mov 96(%r15), %r12\n"
        "mov 104(%r15), %r13\n"
        "direct_stub_go: mov 112(%r15), %r14\n"
        "mov 120(%r15), %r15\n"
        ".byte 0xff, 0x25\n" /* jmp [rip + ...], to the rip of struct resume */
        ".long 0x2000 + 128 - 120 - (5f - direct_stub)\n"
        "5:\n"
        "direct_stub_popf: popf\n"
        "int3\n"
        "direct_stub_end:\n"
        ".popsection\n");

/* -- a program of one page -- */

static int program_create(struct direct_process *p)
{
    struct program image = {
        .head = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                 .e_type = ET_EXEC,
                 .e_machine = EM_X86_64,
                 .e_version = EV_CURRENT,
                 .e_entry = FIRST_LA + offsetof(struct program, code),
                 .e_phoff = offsetof(struct program, segment),
                 .e_ehsize = sizeof(Elf64_Ehdr),
                 .e_phentsize = sizeof(Elf64_Phdr),
                 .e_phnum = 1},
        .segment = {.p_type = PT_LOAD,
                    .p_flags = PF_R | PF_X,
                    .p_vaddr = FIRST_LA,
                    .p_filesz = sizeof(struct program),
                    .p_memsz = sizeof(struct program),
                    .p_align = PAGE_SIZE},
    };
    memcpy(image.code, direct_stub, (size_t)(direct_stub_end - direct_stub));
    p->fd = memfd_create("nestbox-direct", MFD_CLOEXEC);
    if (p->fd < 0 || ftruncate(p->fd, STUB_PAGES * PAGE_SIZE) || pwrite(p->fd, &image, sizeof image, 0) < 0)
        return -errno;
    void *list =
        mmap(NULL, (STUB_PAGES - 1) * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, p->fd, PAGE_SIZE);
    if (list == MAP_FAILED)
        return -errno;
    p->list = list;
    return 0;
}

/* -- its start -- */

#define SPARE_FD 200 /* descriptors are put together from here on, where there is room */

/* In the new process, which shares our memory until it executes the program: only system calls. */
static int child(void *opaque)
{
    const struct direct_process *p = opaque;
    static const char *const argv[] = {"nestbox-direct", NULL};
    const char *const none[] = {NULL};
    long spare[1 + DIRECT_FILES];
    if (syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0) || syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0))
        _exit(1);
    spare[0] = syscall(SYS_fcntl, p->fd, F_DUPFD, SPARE_FD);
    for (u32 i = 0; i < p->files; i++)
        spare[1 + i] = p->host->file[i].fd >= 0 ? syscall(SYS_fcntl, p->host->file[i].fd, F_DUPFD, SPARE_FD) : -1;
    for (u32 i = 0; i <= p->files; i++) {
        syscall(SYS_close, STUB_FD + (int)i);
        if (spare[i] >= 0)
            syscall(SYS_dup3, spare[i], STUB_FD + (int)i, 0);
    }
    syscall(SYS_close_range, STUB_FD + 1 + p->files, ~0u, 0);
    syscall(SYS_close_range, 0, STUB_FD - 1, 0);
    syscall(SYS_execveat, STUB_FD, "", argv, none, AT_EMPTY_PATH);
    _exit(1);
}

static int start(struct direct_process *p)
{
    u8 stack[8192] __attribute__((aligned(16)));
    sigset_t all, before;
    sigfillset(&all);
    sigdelset(&all, SIGTRAP);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    p->pid = clone(child, stack + sizeof stack, CLONE_VM | CLONE_VFORK, p);
    int e = p->pid < 0 ? -errno : 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (e) {
        p->pid = 0;
        return e;
    }
    u64 none = 0;
    int status = direct_stopped(p);
    if (!status || WSTOPSIG(status) != SIGTRAP)
        return -EPERM;
    if (ptrace(PTRACE_SETOPTIONS, p->pid, 0, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD) ||
        ptrace(PTRACE_SETSIGMASK, p->pid, sizeof none, &none))
        return -errno;
    return 0;
}

int direct_start(struct direct_process *p)
{
    int e = program_create(p);
    if (!e)
        e = start(p);
    if (p->fd >= 0)
        close(p->fd); /* the process has it */
    return e;
}

/* -- what is left of it -- */

u64 direct_stub_place(void)
{
    u64 x;
    if (getrandom(&x, sizeof x, 0) != sizeof x)
        x = (u64)getpid() * 0x9e3779b97f4a7c15ull;
    return 0x100000000000ull + (x % 0x600000000ull << PAGE_SHIFT);
}

/* The filter's last word: only what changes mappings as direct_change does and whether RDTSC faults, with the secret,
 * and nothing else ever. What is refused stops the process: system calls of guest code behind a list, and of the
 * vsyscall page, which the kernel executes itself. */
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define REFUSE BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP)
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define LOAD_ARG(n) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[n]))
#define LOAD_ARG_HIGH(n) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[n]) + 4)
enum { FILTER_SECRET_0 = 4, FILTER_SECRET_1 = 6 }; /* where the secret goes */
static const struct sock_filter filter[] = {
    LOAD(arch),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
    REFUSE,
    LOAD_ARG_HIGH(3),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 10),
    LOAD_ARG_HIGH(4),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 8),
    LOAD(nr),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_munmap, 7, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 2),
    LOAD_ARG(3),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MAP_SHARED | MAP_FIXED | MAP_POPULATE, 4, 3),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prctl, 0, 2),
    LOAD_ARG(0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PR_SET_TSC, 1, 0),
    REFUSE,
    ALLOW,
};

int direct_settle_in(struct direct_process *p)
{
    struct user_regs_struct r;
    if (ptrace(PTRACE_GETREGS, p->pid, 0, &p->regs))
        return -errno;
    u64 to = direct_stub_place();
    r = p->regs;
    r.rip = FIRST_LA + offsetof(struct program, code) + (u64)(direct_stub_syscall - direct_stub);
    r.rbx = FIRST_LA;
    r.rax = SYS_mmap;
    r.rdi = to;
    r.rsi = STUB_PAGES * PAGE_SIZE;
    r.rdx = PROT_READ | PROT_EXEC;
    r.r10 = MAP_SHARED | MAP_FIXED | MAP_POPULATE;
    r.r8 = STUB_FD;
    r.r9 = 0;
    r.r12 = 1;
    if (!direct_stub_run(p, &r) || r.rax != to)
        return -EPERM;
    p->stub = to;
    /* The filter lies behind the requests. */
    struct {
        struct sock_fprog program;
        struct sock_filter filter[ARRAY_LEN(filter)];
    } *f = (void *)(p->list + DIRECT_CHANGES);
    u64 f_la = to + PAGE_SIZE + DIRECT_CHANGES * sizeof(struct request);
    u64 end = to + STUB_PAGES * PAGE_SIZE;
    u64 secret[2];
    if (getrandom(secret, sizeof secret, 0) != sizeof secret)
        return -EPERM;
    secret[0] = secret[0] << 32 | BIT64(63);
    secret[1] <<= 32;
    memcpy(f->filter, filter, sizeof filter);
    f->filter[FILTER_SECRET_0].k = (u32)(secret[0] >> 32);
    f->filter[FILTER_SECRET_1].k = (u32)(secret[1] >> 32);
    f->program.len = ARRAY_LEN(filter);
    f->program.filter = (struct sock_filter *)(f_la + ((u8 *)f->filter - (u8 *)f));
    const struct request all[] = {
        direct_request(SYS_munmap, 0, to, 0, 0, 0, 0),
        direct_request(SYS_munmap, end, DIRECT_HIGH - end, 0, 0, 0, 0),
        direct_request(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0),
        direct_request(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, f_la, 0, 0, 0),
    };
    u64 result;
    memcpy(p->list, all, sizeof all);
    u32 done = direct_list_run(p, ARRAY_LEN(all), &result);
    memset(f, 0, sizeof *f); /* guest code can read it */
    if (done < ARRAY_LEN(all))
        return done ? (int)(s64)result : -EPERM;
    p->secret[0] = secret[0];
    p->secret[1] = secret[1];
    p->regs.fs_base = p->regs.gs_base = 0;
    struct iovec v = {p->vectors, sizeof p->vectors};
    if (ptrace(PTRACE_GETREGSET, p->pid, NT_X86_XSTATE, &v))
        return -errno;
    p->vectors_size = v.iov_len;
    return 0;
}
