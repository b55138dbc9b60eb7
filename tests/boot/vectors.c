/*
 * /init of a guest that does nothing but watch its SSE registers: over a busy loop that interrupts hit, system calls,
 * page faults, yields and forks. Prints one line and powers off. Two processes run, so that the kernel switches
 * contexts.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOOP, SYSCALL, FAULT, YIELD, FORK, KINDS };

static uint64_t in[16][2], out[16][2];
static unsigned bad[KINDS];

#define LOAD(n) "movups " #n "*16(%1), %%xmm" #n "\n"
#define STORE(n) "movups %%xmm" #n ", " #n "*16(%2)\n"
#define ALL(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8) M(9) M(10) M(11) M(12) M(13) M(14) M(15)
#define CLOBBER                                                                                                        \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",         \
        "xmm13", "xmm14", "xmm15", "memory", "cc", "rcx", "r11"
#define BETWEEN(code)                                                                                                  \
    __asm__ volatile(ALL(LOAD) code ALL(STORE) : "=&a"(result) : "r"(in), "r"(out), "r"(page) : CLOBBER)

static void check(int kind)
{
    if (!memcmp(in, out, sizeof(in)))
        return;
    for (unsigned i = 0; bad[kind] < 3 && i < 16; i++)
        if (memcmp(in[i], out[i], 16))
            printf("kind %d, xmm%u: %016lx%016lx became %016lx%016lx\n", kind, i, in[i][1], in[i][0], out[i][1],
                   out[i][0]);
    bad[kind]++;
}

int main(void)
{
    uint64_t random = 88172645463325252ull;
    long result;
    pid_t other = fork();
    for (unsigned round = 0; round < 2000; round++) {
        for (unsigned i = 0; i < 32; i++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            in[i / 2][i % 2] = random ^ (uint64_t)other;
        }
        char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        BETWEEN("mov $20000, %%eax\n1: dec %%eax\n jnz 1b\n");
        check(LOOP);
        BETWEEN("mov $39, %%eax\n syscall\n");
        check(SYSCALL);
        BETWEEN("movb $1, (%3)\n movups %%xmm3, 4090(%3)\n movups 4090(%3), %%xmm3\n");
        check(FAULT);
        munmap(page, 8192);
        BETWEEN("mov $24, %%eax\n syscall\n");
        check(YIELD);
        if (round % 20)
            continue;
        fflush(stdout);
        BETWEEN("mov $57, %%eax\n syscall\n");
        check(FORK);
        if (result == 0)
            _exit(bad[FORK] != 0);
        int status;
        waitpid((pid_t)result, &status, 0);
        bad[FORK] += status != 0;
    }
    unsigned sum = bad[LOOP] + bad[SYSCALL] + bad[FAULT] + bad[YIELD] + bad[FORK];
    if (other == 0)
        _exit(sum != 0);
    int status;
    waitpid(other, &status, 0);
    printf("vectors: loop %u, syscall %u, fault %u, yield %u, fork %u, other process %d\n", bad[LOOP], bad[SYSCALL],
           bad[FAULT], bad[YIELD], bad[FORK], status);
    printf("vectors: %s\n", sum || status ? "lost" : "kept");
    fflush(stdout);
    syscall(SYS_reboot, 0xfee1dead, 672274793, 0x4321fedc, 0);
    return 1;
}
