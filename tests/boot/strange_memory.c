/*
 * Subjects of strange.h: mappings that change while others use them, copies on write, pages that come from elsewhere,
 * large pages, merged pages, several processes at the same addresses.
 */
#include "strange.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "init.h"

static uint32_t next(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

/* -- rights -- */

/* Each thread changes rights of its own pages and looks at what they do. */
static void *storm_thread(void *opaque)
{
    static const int rights[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE};
    uint32_t seed = (uint32_t)(uintptr_t)opaque;
    uint8_t *p = pages(16, PROT_READ | PROT_WRITE), value[16] = {0};
    int has[16];
    for (unsigned i = 0; i < 16; i++)
        has[i] = PROT_READ | PROT_WRITE;
    for (unsigned round = 0; round < 500; round++) {
        unsigned i = next(&seed) % 16, n = 1 + next(&seed) % (16 - i), r = next(&seed) % 4;
        if (r < 3) {
            mprotect(p + i * PAGE, n * PAGE, rights[r]);
            for (unsigned k = i; k < i + n; k++)
                has[k] = rights[r];
        } else {
            mmap(p + i * PAGE, n * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
            for (unsigned k = i; k < i + n; k++) {
                has[k] = PROT_READ | PROT_WRITE;
                value[k] = 0;
            }
        }
        for (unsigned k = 0; k < 3; k++) {
            unsigned at = next(&seed) % 16;
            uint8_t *byte = p + at * PAGE + (at * 64 + 5);
            int fault = FAULT_OF(CHECK(READ(byte) == value[at], "%u is not %u", *byte, value[at]));
            CHECK(fault == (has[at] ? 0 : SIGSEGV), "read of page with %d: signal %d", has[at], fault);
            fault = FAULT_OF(WRITE(byte, (uint8_t)round));
            CHECK(fault == (has[at] & PROT_WRITE ? 0 : SIGSEGV), "write with %d: signal %d", has[at], fault);
            if (!fault)
                value[at] = (uint8_t)round;
        }
    }
    return NULL;
}

static void storm(void)
{
    pthread_t t[4];
    for (uintptr_t i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, storm_thread, (void *)(i + 1));
    for (unsigned i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
}

/* Another thread uses a page and takes over, by turns, what this one changed: afterwards it must see it. */
static struct {
    uint32_t turn, answer;
    uint8_t *page;
    int wanted; /* signal of a write */
    uint8_t value;
    uint32_t busy; /* writes of the other thread to its own page, while it waits */
} shot;

static void *shot_thread(void *opaque)
{
    uint8_t *own = pages(1, PROT_READ | PROT_WRITE);
    for (uint32_t seen = 0;;) {
        uint32_t turn = __atomic_load_n(&shot.turn, __ATOMIC_ACQUIRE);
        if (turn == ~0u)
            return NULL;
        if (turn == seen) {
            WRITE(own + ++shot.busy % PAGE, 1);
            continue;
        }
        seen = turn;
        int fault = FAULT_OF(CHECK(READ(shot.page) == shot.value, "%u is not %u", READ(shot.page), shot.value));
        CHECK(fault == (shot.wanted == -1 ? SIGSEGV : 0), "read: signal %d", fault);
        fault = FAULT_OF(WRITE(shot.page, (uint8_t)(shot.value + 1)));
        CHECK(fault == (shot.wanted ? SIGSEGV : 0), "write: signal %d, turn %u", fault, turn);
        __atomic_store_n(&shot.answer, turn, __ATOMIC_RELEASE);
    }
}

static void shoot(int wanted, uint8_t value)
{
    shot.wanted = wanted;
    shot.value = value;
    uint32_t turn = shot.turn + 1;
    __atomic_store_n(&shot.turn, turn, __ATOMIC_RELEASE);
    while (__atomic_load_n(&shot.answer, __ATOMIC_ACQUIRE) != turn)
        if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
            sched_yield();
}

static void shootdown(void)
{
    pthread_t t;
    uint8_t *p = shot.page = pages(1, PROT_READ | PROT_WRITE);
    pthread_create(&t, NULL, shot_thread, NULL);
    for (unsigned round = 0; round < 150; round++) {
        shoot(0, *p);
        mprotect(p, PAGE, PROT_READ);
        shoot(1, *p);
        uint8_t value = *p;
        mprotect(p, PAGE, PROT_NONE);
        shoot(-1, value);
        mprotect(p, PAGE, PROT_READ | PROT_WRITE);
        shoot(0, *p);
        madvise(p, PAGE, MADV_DONTNEED);
        shoot(0, 0);
        munmap(p, PAGE);
        shoot(-1, 0);
        mmap(p, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        *p = (uint8_t)round;
    }
    __atomic_store_n(&shot.turn, ~0u, __ATOMIC_RELEASE);
    pthread_join(t, NULL);
}

static void moves(void)
{
    uint8_t *room = pages(64, PROT_NONE), *at = room;
    uint32_t seed = 7;
    mprotect(at, 4 * PAGE, PROT_READ | PROT_WRITE);
    for (unsigned i = 0; i < 4; i++)
        at[i * PAGE] = (uint8_t)(i + 1);
    for (unsigned round = 0; round < 400; round++) {
        uint8_t *to = room + next(&seed) % 15 * 4 * PAGE;
        if (to == at)
            continue;
        void *r = mremap(at, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to);
        CHECK(r == to, "mremap: %s", strerror(errno));
        CHECK(FAULT_OF(READ(at + PAGE)) == SIGSEGV, "what was moved away is still there");
        at = to;
        for (unsigned i = 0; i < 4; i++)
            CHECK(at[i * PAGE] == (uint8_t)(i + 1 + round - round), "page %u is %u", i, at[i * PAGE]);
        mmap(room + next(&seed) % 15 * 4 * PAGE, 0, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    }
}

/* -- copies on write -- */

static volatile bool fork_stop;

/* Writes its pages again and again, each a number that grows. */
static void *fork_writer(void *opaque)
{
    volatile uint64_t *p = opaque;
    for (uint64_t n = 1; !fork_stop; n++)
        for (unsigned i = 0; i < 8; i++)
            p[i * 512] = n;
    return NULL;
}

/* A child's copies stay as they are while the parent's threads go on writing. */
static void fork_beside_writers(void)
{
    uint8_t *p = pages(16, PROT_READ | PROT_WRITE);
    pthread_t t[2];
    for (unsigned i = 0; i < 2; i++)
        pthread_create(&t[i], NULL, fork_writer, p + i * 8 * PAGE);
    for (unsigned round = 0; round < 60; round++) {
        pid_t child = fork();
        if (!child) {
            volatile uint64_t *q = (void *)p;
            uint64_t first[16];
            unsigned bad = 0;
            for (unsigned i = 0; i < 16; i++)
                first[i] = q[i * 512];
            /* In the order of writing: later pages are at most one number behind. */
            for (unsigned i = 0; i < 16; i++)
                bad += i % 8 && (first[i] > first[i - 1] || first[i - 1] - first[i] > 1);
            for (unsigned k = 0; k < 20000; k++)
                bad += q[k % 16 * 512] != first[k % 16];
            for (unsigned i = 0; i < 16; i++)
                q[i * 512] = ~0ull;
            _exit(bad != 0);
        }
        int status = 1;
        waitpid(child, &status, 0);
        CHECK(!status, "a child's copy is none (%#x)", status);
        for (unsigned i = 0; i < 16; i++)
            CHECK(((volatile uint64_t *)p)[i * 512] != ~0ull, "the child's write came to the parent");
    }
    fork_stop = true;
    pthread_join(t[0], NULL);
    pthread_join(t[1], NULL);
}

/* Processes with other contents at the same addresses, by turns and on other CPUs. */
static void spaces(void)
{
    uint8_t *p = pages(8, PROT_READ | PROT_WRITE);
    int link[6][2];
    for (unsigned i = 0; i < 6; i++)
        if (pipe(link[i]))
            exit(9);
    for (unsigned me = 0; me < 6; me++) {
        if (fork())
            continue;
        for (unsigned i = 0; i < 8; i++)
            memset(p + i * PAGE, (int)(me * 16 + i), PAGE);
        for (unsigned round = 0; round < 80; round++) {
            char token;
            cpu_set_t cpus;
            CPU_ZERO(&cpus);
            CPU_SET((me + round / 4) % (unsigned)sysconf(_SC_NPROCESSORS_ONLN), &cpus);
            sched_setaffinity(0, sizeof cpus, &cpus);
            if (read(link[me][0], &token, 1) != 1)
                _exit(3);
            for (unsigned i = 0; i < 8; i++)
                for (unsigned k = 0; k < PAGE; k += 512)
                    CHECK(p[i * PAGE + k] == (uint8_t)(me * 16 + i + round), "the bytes of another process");
            for (unsigned i = 0; i < 8; i++)
                memset(p + i * PAGE, (int)(me * 16 + i + round + 1), PAGE);
            if (write(link[(me + 1) % 6][1], &token, 1) != 1)
                _exit(3);
        }
        fflush(stdout);
        _exit(failures != 0);
    }
    CHECK(write(link[0][1], "", 1) == 1, "pipe");
    for (unsigned i = 0; i < 6; i++) {
        int status = 1;
        wait(&status);
        CHECK(!status, "status %#x", status);
    }
}

/* -- pages that come from elsewhere -- */

static int faults_fd;
static unsigned faults_seen;

static void *faults_serve(void *opaque)
{
    static uint8_t content[PAGE] __attribute__((aligned(4096)));
    struct uffd_msg m;
    while (read(faults_fd, &m, sizeof m) == sizeof m && m.event == UFFD_EVENT_PAGEFAULT) {
        uint64_t page = m.arg.pagefault.address & ~(PAGE - 1);
        faults_seen++;
        if (m.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP) {
            struct uffdio_writeprotect w = {.range = {page, PAGE}};
            ioctl(faults_fd, UFFDIO_WRITEPROTECT, &w);
        } else {
            memset(content, (int)(page / PAGE), PAGE);
            struct uffdio_copy c = {.dst = page, .src = (uint64_t)content, .len = PAGE};
            ioctl(faults_fd, UFFDIO_COPY, &c);
        }
    }
    return NULL;
}

static void user_faults(void)
{
    faults_fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
    struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP};
    if (faults_fd < 0 || ioctl(faults_fd, UFFDIO_API, &api)) {
        SKIP("no userfaultfd");
        return;
    }
    uint8_t *p = pages(64, PROT_READ | PROT_WRITE);
    struct uffdio_register r = {.range = {(uint64_t)p, 64 * PAGE},
                                .mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP};
    CHECK(!ioctl(faults_fd, UFFDIO_REGISTER, &r), "register: %s", strerror(errno));
    pthread_t t;
    pthread_create(&t, NULL, faults_serve, NULL);
    for (unsigned i = 0; i < 64; i++)
        CHECK(READ(p + i * PAGE + i) == (uint8_t)((uint64_t)p / PAGE + i), "page %u", i);
    CHECK(faults_seen == 64, "%u faults of missing pages", faults_seen);
    for (unsigned round = 0; round < 5; round++) {
        struct uffdio_writeprotect w = {.range = {(uint64_t)p, 64 * PAGE}, .mode = UFFDIO_WRITEPROTECT_MODE_WP};
        CHECK(!ioctl(faults_fd, UFFDIO_WRITEPROTECT, &w), "write-protect: %s", strerror(errno));
        faults_seen = 0;
        for (unsigned i = 0; i < 64; i++)
            CHECK(READ(p + i * PAGE + 1) == (uint8_t)((uint64_t)p / PAGE + i), "page %u", i);
        CHECK(!faults_seen, "%u faults of reads", faults_seen);
        for (unsigned i = 0; i < 64; i += 2)
            WRITE(p + i * PAGE, (uint8_t)round);
        CHECK(faults_seen == 32, "%u faults of writes", faults_seen);
    }
    for (unsigned round = 0; round < 5; round++) {
        faults_seen = 0;
        madvise(p + 8 * PAGE, 8 * PAGE, MADV_DONTNEED);
        for (unsigned i = 0; i < 64; i++)
            CHECK(READ(p + i * PAGE + 8) == (uint8_t)((uint64_t)p / PAGE + i), "page %u", i);
        CHECK(faults_seen == 8, "%u faults of pages that were given back", faults_seen);
    }
    _exit(failures != 0); /* the other thread reads for ever */
}

/* A file that becomes shorter and longer. */
static void truncation(void)
{
    int fd = memfd_create("short", 0);
    CHECK(!ftruncate(fd, 8 * PAGE), "ftruncate");
    uint8_t *p = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    uint8_t *own = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    for (unsigned round = 0; round < 100; round++) {
        for (unsigned i = 0; i < 8; i++) {
            p[i * PAGE] = (uint8_t)(round + i);
            CHECK(READ(own + i * PAGE) == (uint8_t)(round + i), "the private mapping differs");
        }
        own[PAGE] = own[7 * PAGE] = 0xaa;
        CHECK(!ftruncate(fd, 3 * PAGE), "ftruncate");
        for (unsigned i = 0; i < 8; i++) {
            int wanted = i < 3 ? 0 : SIGBUS;
            CHECK(FAULT_OF(READ(p + i * PAGE)) == wanted, "page %u", i);
            CHECK(FAULT_OF(WRITE(p + i * PAGE + 1, 1)) == wanted, "page %u", i);
            CHECK(!wanted || fault_info.si_code == BUS_ADRERR, "code %d", fault_info.si_code);
            CHECK(FAULT_OF(READ(own + i * PAGE)) == wanted, "private page %u", i);
        }
        CHECK(READ(own + PAGE) == 0xaa, "the private page is lost");
        CHECK(!ftruncate(fd, 8 * PAGE), "ftruncate");
        for (unsigned i = 3; i < 8; i++)
            CHECK(READ(p + i * PAGE) == 0 && READ(own + i * PAGE) == 0, "page %u is not empty", i);
        madvise(own, 8 * PAGE, MADV_DONTNEED);
    }
}

static void advice(void)
{
    int fd = memfd_create("advice", 0);
    CHECK(!ftruncate(fd, 16 * PAGE), "ftruncate");
    uint8_t *shared = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    uint8_t *copy = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    uint8_t *own = pages(16, PROT_READ | PROT_WRITE);
    for (unsigned i = 0; i < 16; i++)
        shared[i * PAGE] = (uint8_t)(i + 1);
    for (unsigned round = 0; round < 60; round++) {
        for (unsigned i = 0; i < 16; i++)
            copy[i * PAGE] = own[i * PAGE] = (uint8_t)(round + 0x40);
        madvise(copy + round % 12 * PAGE, 3 * PAGE, MADV_DONTNEED);
        madvise(own + round % 12 * PAGE, 3 * PAGE, round % 2 ? MADV_DONTNEED : MADV_FREE);
        madvise(shared + round % 12 * PAGE, 3 * PAGE, MADV_DONTNEED);
        for (unsigned i = 0; i < 16; i++) {
            bool gone = i - round % 12 < 3;
            CHECK(READ(shared + i * PAGE) == (uint8_t)(i + 1), "shared page %u", i);
            CHECK(READ(copy + i * PAGE) == (uint8_t)(gone ? i + 1 : round + 0x40), "copy %u", i);
            uint8_t is = READ(own + i * PAGE), was = (uint8_t)(round + 0x40);
            CHECK(is == was || (gone && !is), "own page %u is %u", i, is);
            CHECK(!gone || round % 2 == 0 || !is, "own page %u was not given back", i);
        }
        if (round % 8 == 7)
            CHECK(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 5 * PAGE, PAGE) &&
                      !READ(shared + 5 * PAGE),
                  "the hole is not empty");
        WRITE(shared + 5 * PAGE, 6);
    }
}

/* -- large pages -- */

static void large_use(uint8_t *p, size_t size)
{
    for (size_t i = 0; i < size; i += PAGE)
        *(uint64_t *)(p + i) = i * 3 + 1;
    pid_t child = fork();
    if (!child) {
        for (size_t i = 0; i < size; i += PAGE * 7)
            *(uint64_t *)(p + i) = 0;
        _exit(0);
    }
    waitpid(child, NULL, 0);
    size_t bad = 0;
    for (size_t i = 0; i < size; i += PAGE)
        bad += *(uint64_t *)(p + i) != i * 3 + 1;
    CHECK(!bad, "%zu pages are lost", bad);
}

static void large(void)
{
    const size_t size = 4 << 20;
    uint8_t *room = pages(2048, PROT_READ | PROT_WRITE);
    uint8_t *p = (uint8_t *)(((uintptr_t)room + (2 << 20) - 1) & ~((2ul << 20) - 1));
    for (unsigned round = 0; round < 4; round++) {
        madvise(p, size, MADV_HUGEPAGE);
        large_use(p, size);
        uint8_t *q = p + 300 * PAGE;
        mprotect(q, PAGE, PROT_READ);
        CHECK(FAULT_OF(WRITE(q, 1)) == SIGSEGV, "a page within a large one keeps its rights");
        CHECK(!FAULT_OF(WRITE(q + PAGE, 1)), "the page behind it");
        mprotect(q, PAGE, PROT_READ | PROT_WRITE);
        madvise(q + 2 * PAGE, PAGE, MADV_DONTNEED);
        CHECK(!READ(q + 2 * PAGE) && READ(q + 3 * PAGE) == (uint8_t)(303 * PAGE * 3 + 1), "a hole in a large page");
        madvise(p, size, 25); /* makes large pages of it again, on kernels that know that */
        CHECK(!READ(q + 2 * PAGE) && READ(q + 3 * PAGE) == (uint8_t)(303 * PAGE * 3 + 1), "joined again");
        madvise(p, size, MADV_DONTNEED);
    }
    if (getuid() || put("/proc/sys/vm/nr_hugepages", "8"))
        return;
    uint8_t *h = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
    if (h != MAP_FAILED) {
        large_use(h, size);
        mprotect(h, size / 2, PROT_READ);
        CHECK(FAULT_OF(WRITE(h + 5, 1)) == SIGSEGV && !FAULT_OF(WRITE(h + size / 2, 1)), "rights of large pages");
        munmap(h, size);
        CHECK(FAULT_OF(READ(h)) == SIGSEGV, "a large page is still there");
    }
    put("/proc/sys/vm/nr_hugepages", "0");
}

/* Pages that the kernel merges, and that are written again. */
static void merged(void)
{
    uint8_t *p = pages(128, PROT_READ | PROT_WRITE);
    for (unsigned i = 0; i < 128; i++)
        memset(p + i * PAGE, 0x5a, PAGE);
    if (getpid() == 1 || madvise(p, 128 * PAGE, MADV_MERGEABLE) || put("/sys/kernel/mm/ksm/pages_to_scan", "1000")) {
        SKIP("pages are not merged here");
        return;
    }
    put("/sys/kernel/mm/ksm/sleep_millisecs", "5");
    put("/sys/kernel/mm/ksm/run", "1");
    char text[32] = "0";
    for (double until = now() + 8; now() < until && atoi(text) < 100; usleep(10000)) {
        int fd = open("/sys/kernel/mm/ksm/pages_sharing", O_RDONLY);
        CHECK(read(fd, text, sizeof text - 1) > 0, "pages_sharing");
        close(fd);
        for (unsigned i = 0; i < 128; i++)
            CHECK(READ(p + i * PAGE + 9) == 0x5a, "page %u", i);
    }
    for (unsigned i = 0; i < 128; i += 3)
        WRITE(p + i * PAGE + 9, (uint8_t)i);
    for (unsigned i = 0; i < 128; i++)
        CHECK(READ(p + i * PAGE + 9) == (i % 3 ? 0x5a : (uint8_t)i), "page %u", i);
    CHECK(atoi(text) >= 100, "%d pages are shared", atoi(text));
    put("/sys/kernel/mm/ksm/run", "2");
}

/* Which pages were written since, as the kernel's dirty bits say. */
static void soft_dirty(void)
{
    uint8_t *p = pages(64, PROT_READ | PROT_WRITE);
    int map = open("/proc/self/pagemap", O_RDONLY);
    uint64_t entry[64];
    for (unsigned i = 0; i < 64; i++)
        WRITE(p + i * PAGE, 1);
    for (unsigned round = 0; round < 12; round++) {
        CHECK(!put("/proc/self/clear_refs", "4"), "clear_refs");
        for (unsigned i = round; i < 64; i += 5)
            WRITE(p + i * PAGE + round, (uint8_t)round);
        CHECK(pread(map, entry, sizeof entry, (off_t)((uintptr_t)p / PAGE * 8)) == sizeof entry, "pagemap");
        for (unsigned i = 0; i < 64; i++) {
            bool wanted = i >= round && (i - round) % 5 == 0, is = entry[i] >> 55 & 1;
            if (round == 0 && wanted && !is) {
                SKIP("no soft dirty bits");
                return;
            }
            CHECK(is == wanted, "page %u: %d", i, is);
        }
    }
}

/* Pieces anywhere in the address space, as V8 has its heap: in more parts of it of 512 GiB than are mapped at a time.
 * Each has its own bytes, and where the same place of other parts has nothing there is nothing, in two processes by
 * turns. */
static void scattered(void)
{
    enum { PIECES = 200, TURNS = 40 };
    const uint64_t part = 1ull << 39, size = 16 * PAGE;
    uint8_t *piece[PIECES];
    uint32_t seed = 7;
    int there[2], back[2];
    char turn = 0;
    CHECK(!pipe(there) && !pipe(back), "pipe");
    for (unsigned i = 0; i < PIECES;) {
        uint64_t at = (1 + (uint64_t)(next(&seed) % 120)) * part + (uint64_t)(next(&seed) % 4096) * size + size;
        void *p = mmap((void *)at, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
        if (p == MAP_FAILED && errno != EEXIST) {
            SKIP("no address space");
            return;
        }
        if (p != MAP_FAILED)
            piece[i++] = p;
    }
    bool child = !fork();
    for (unsigned round = 0; round < TURNS; round++) {
        CHECK(!child || read(there[0], &turn, 1) == 1, "turn");
        for (unsigned n = 0; n < 300; n++) {
            unsigned i = next(&seed) % PIECES;
            uint8_t *at = piece[i] + (round % 16) * PAGE + i, *twin;
            CHECK(!READ(at) || READ(at) == (uint8_t)(i + child), "%p has %u", at, *at);
            WRITE(at, (uint8_t)(i + child));
            twin = (uint8_t *)((uintptr_t)at % part + (1 + next(&seed) % 120) * part);
            bool has = false;
            for (unsigned k = 0; k < PIECES && !has; k++)
                has = (uint64_t)(twin - piece[k]) < size;
            if (!has)
                CHECK(FAULT_OF(READ(twin)) == SIGSEGV, "%p has something", twin);
        }
        CHECK(write((child ? back : there)[1], &turn, 1) == 1, "turn");
        CHECK(child || read(back[0], &turn, 1) == 1, "turn");
    }
    if (child)
        _exit(failures != 0);
    int status = 0;
    CHECK(wait(&status) > 0 && !status, "the other process: %d", status);
    for (unsigned i = 0; i < PIECES; i++)
        munmap(piece[i], size);
}

/* The kernel writes to pages that this process has mapped, by other ways. */
static void kernel_writes(void)
{
    uint8_t *p = pages(4, PROT_READ | PROT_WRITE), *code = pages(1, PROT_READ | PROT_WRITE | PROT_EXEC);
    int self = open("/proc/self/mem", O_RDWR), link[2];
    CHECK(!pipe(link), "pipe");
    memcpy(code, (uint8_t[]){0xb8, 0, 0, 0, 0, 0xc3}, 6);
    mprotect(code, PAGE, PROT_READ | PROT_EXEC);
    for (uint32_t i = 0; i < 300; i++) {
        CHECK(pwrite(self, &i, 4, (off_t)(uintptr_t)(code + 1)) == 4, "/proc/self/mem");
        CHECK(((uint32_t(*)(void))code)() == i, "old code ran");
        CHECK(write(link[1], &i, 4) == 4 && read(link[0], p + PAGE - 2, 4) == 4 && !memcmp(p + PAGE - 2, &i, 4),
              "read");
        struct iovec from = {&i, 4}, to = {p + 2 * PAGE - 1, 4};
        CHECK(process_vm_writev(getpid(), &from, 1, &to, 1, 0) == 4 && !memcmp(p + 2 * PAGE - 1, &i, 4), "writev");
    }
}

const struct subject memory_subjects[] = {
    {"storm", storm},
    {"shootdown", shootdown},
    {"moves", moves},
    {"fork-beside-writers", fork_beside_writers},
    {"spaces", spaces},
    {"user-faults", user_faults},
    {"truncation", truncation},
    {"advice", advice},
    {"large", large},
    {"merged", merged},
    {"soft-dirty", soft_dirty},
    {"scattered", scattered},
    {"kernel-writes", kernel_writes},
    {NULL, NULL},
};
