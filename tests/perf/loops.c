/*
 * The measuring program: statically linked, run natively, in L1 and in L2, under any machine. Prints one `name value
 * unit` per line; each value is the best of three runs, or of as many as take half a second. `loops NAME...` measures
 * those, `loops all` everything but cpuid and port.
 */
#include <emmintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static volatile uint64_t sink;

#define ROUNDS_ALU 20000000
static void run_alu(void)
{
    uint64_t h = 0xcbf29ce484222325ull;
    for (unsigned i = 0; i < ROUNDS_ALU; i++) {
        h ^= i & 0xff;
        h *= 0x100000001b3ull;
        h = h << 13 | h >> 51;
    }
    sink = h;
}

static const uint32_t sha_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

#define ROTR(x, n) ((x) >> (n) | (x) << (32 - (n)))
static void sha256_block(uint32_t s[8], const uint32_t block[16])
{
    uint32_t w[64];
    memcpy(w, block, 64);
    for (unsigned i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + (ROTR(a, 7) ^ ROTR(a, 18) ^ a >> 3) + w[i - 7] + (ROTR(b, 17) ^ ROTR(b, 19) ^ b >> 10);
    }
    uint32_t a = s[0], b = s[1], c = s[2], d = s[3], e = s[4], f = s[5], g = s[6], h = s[7];
    for (unsigned i = 0; i < 64; i++) {
        uint32_t t1 = h + (ROTR(e, 6) ^ ROTR(e, 11) ^ ROTR(e, 25)) + ((e & f) ^ (~e & g)) + sha_k[i] + w[i];
        uint32_t t2 = (ROTR(a, 2) ^ ROTR(a, 13) ^ ROTR(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
        h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
    }
    s[0] += a, s[1] += b, s[2] += c, s[3] += d, s[4] += e, s[5] += f, s[6] += g, s[7] += h;
}

#define ROUNDS_SHA 400000
static void run_sha256(void)
{
    uint32_t s[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    uint32_t block[16] = {1, 2, 3};
    for (unsigned i = 0; i < ROUNDS_SHA; i++) {
        block[i & 15] += s[0];
        sha256_block(s, block);
    }
    sink = s[0];
}

#define SIEVE (4u << 20)
static uint8_t *sieve;
static void run_sieve(void)
{
    memset(sieve, 1, SIEVE);
    for (unsigned i = 2; i * i < SIEVE; i++)
        if (sieve[i])
            for (unsigned j = i * i; j < SIEVE; j += i)
                sieve[j] = 0;
    sink = sieve[SIEVE - 1];
}

#define N 256
static double *ma, *mb, *mc;
static void run_matrix(void)
{
    for (unsigned i = 0; i < N; i++) {
        for (unsigned j = 0; j < N; j += 2) {
            __m128d sum = _mm_setzero_pd();
            for (unsigned k = 0; k < N; k++)
                sum = _mm_add_pd(sum, _mm_mul_pd(_mm_set1_pd(ma[i * N + k]), _mm_load_pd(mb + k * N + j)));
            _mm_store_pd(mc + i * N + j, sum);
        }
    }
    sink = (uint64_t)mc[N + 1];
}

#define COPY (64ul << 20)
static char *copy_from, *copy_to;
static void run_copy(void)
{
    for (size_t i = 0; i < COPY; i += 64) {
        const __m128i *p = (const __m128i *)(copy_from + i);
        __m128i *q = (__m128i *)(copy_to + i);
        __m128i a = _mm_load_si128(p), b = _mm_load_si128(p + 1), c = _mm_load_si128(p + 2), d = _mm_load_si128(p + 3);
        _mm_store_si128(q, a);
        _mm_store_si128(q + 1, b);
        _mm_store_si128(q + 2, c);
        _mm_store_si128(q + 3, d);
    }
    sink = (uint64_t)copy_to[COPY - 1];
}

#define ROUNDS_SYSCALL 200000
static void run_syscall(void)
{
    for (unsigned i = 0; i < ROUNDS_SYSCALL; i++)
        sink = (uint64_t)syscall(SYS_getppid);
}

#define FAULTS 4096
static void run_fault(void)
{
    char *p = mmap(NULL, FAULTS * 4096ul, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        exit(1);
    madvise(p, FAULTS * 4096ul, MADV_NOHUGEPAGE);
    for (unsigned i = 0; i < FAULTS; i++)
        p[i * 4096ul] = 1;
    munmap(p, FAULTS * 4096ul);
}

#define FORKS 20
static const char *self;
static void run_fork(void)
{
    for (unsigned i = 0; i < FORKS; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            execl(self, self, "nothing", (char *)NULL);
            _exit(1);
        }
        int status;
        waitpid(pid, &status, 0);
    }
}

#define ROUNDS_CPUID 5000
static void run_cpuid(void)
{
    for (unsigned i = 0; i < ROUNDS_CPUID; i++) {
        uint32_t a = 0, b, c = 0, d;
        __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
        sink = b;
    }
}

/* A port of a machine's device, the one for POST codes. */
#define ROUNDS_PORT 100000
static void run_port(void)
{
    for (unsigned i = 0; i < ROUNDS_PORT; i++)
        outb((unsigned char)i, 0x80);
}

#ifdef RUNS_UNKNOWN /* to the compiler: tools/bench-compilers.sh */
static volatile unsigned least = 3;
#else
static const unsigned least = 3;
#endif

static void measure(const char *name, void (*run)(void), double per, double scale, const char *unit)
{
    double best = 1e9, total = 0;
    for (unsigned i = 0; i < least || total < 0.5; i++) {
        double t = now();
        run();
        t = now() - t;
        total += t;
        if (t < best)
            best = t;
    }
    printf("%s %.4g %s\n", name, best * scale / per, unit);
    fflush(stdout);
}

static void *pages(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (p == MAP_FAILED)
        exit(1);
    return p;
}

int main(int argc, char **argv)
{
    self = argv[0];
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        int all = !strcmp(name, "all");
        if (all || !strcmp(name, "alu"))
            measure("alu", run_alu, ROUNDS_ALU, 1e9, "ns");
        if (all || !strcmp(name, "sha256"))
            measure("sha256", run_sha256, ROUNDS_SHA, 1e9, "ns");
        if (all || !strcmp(name, "sieve")) {
            sieve = pages(SIEVE);
            measure("sieve", run_sieve, 1, 1e3, "ms");
        }
        if (all || !strcmp(name, "matrix")) {
            ma = pages(N * N * 8);
            mb = pages(N * N * 8);
            mc = pages(N * N * 8);
            for (unsigned j = 0; j < N * N; j++) {
                ma[j] = j % 7;
                mb[j] = j % 11;
            }
            measure("matrix", run_matrix, 1, 1e3, "ms");
        }
        if (all || !strcmp(name, "copy")) {
            copy_from = pages(COPY);
            copy_to = pages(COPY);
            memset(copy_from, 1, COPY);
            measure("copy", run_copy, 1, 1e3, "ms");
            munmap(copy_from, COPY);
            munmap(copy_to, COPY);
        }
        if (all || !strcmp(name, "syscall"))
            measure("syscall", run_syscall, ROUNDS_SYSCALL, 1e9, "ns");
        if (all || !strcmp(name, "fault"))
            measure("fault", run_fault, FAULTS, 1e6, "us");
        if (all || !strcmp(name, "fork"))
            measure("fork", run_fork, FORKS, 1e3, "ms");
        if (!strcmp(name, "cpuid"))
            measure("cpuid", run_cpuid, ROUNDS_CPUID, 1e6, "us");
        if (!strcmp(name, "port") && !ioperm(0x80, 1, 1))
            measure("port", run_port, ROUNDS_PORT, 1e6, "us");
    }
    return 0;
}
