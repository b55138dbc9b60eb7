/*
 * The program takes guest memory away while its slot is set: KVM_RUN fails with EFAULT, and the vCPU goes on when the
 * memory is back. At the end two vCPUs run while pages of code, data, stack, page tables and IDT come and go.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define RAM 0x400000ul
#define PAGE 4096ul
#define CODE 0x100000ul
#define HANDLER 0x180000ul
#define DATA 0x200000ul
#define STACK 0x80000ul
#define TABLES 0x10000ul
#define IDT 0x20000ul
#define GDT 0x22000ul
#define TSS 0x23000ul

#define CHECK(x)                                                                                                       \
    do {                                                                                                               \
        if (!(x)) {                                                                                                    \
            printf("line %d: %s, errno %s\n", __LINE__, #x, strerror(errno));                                          \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* Writes, calls, moves strings, crosses pages, takes an interrupt, flushes the TLB, and ends in an OUT. */
static const unsigned char code[] = {
    0xf0,          0xff, 0x03,                         /* 1: lock inc dword [rbx] */
    0x53,                                              /* push rbx */
    0xe8,          0x45, 0x00, 0x00, 0x00,             /* call 2f */
    0x5b,                                              /* pop rbx */
    0x48,          0x8d, 0xbb, 0x00, 0x10, 0x00, 0x00, /* lea rdi, [rbx + 0x1000] */
    0x48,          0x89, 0xde,                         /* mov rsi, rbx */
    0xb9,          0xc8, 0x00, 0x00, 0x00,             /* mov ecx, 200 */
    0xf3,          0x48, 0xa5,                         /* rep movsq */
    0x0f,          0x10, 0x03,                         /* movups xmm0, [rbx] */
    0x0f,          0x11, 0x83, 0xff, 0x2f, 0x00, 0x00, /* movups [rbx + 0x2fff], xmm0 */
    0xcd,          0x80,                               /* int 0x80 */
    0x0f,          0x20, 0xd8, 0x0f, 0x22, 0xd8,       /* mov rax, cr3; mov cr3, rax */
    0xf0,          0x48, 0x0f, 0xc7, 0x0b,             /* lock cmpxchg16b [rbx] */
    0x0f,          0xae, 0x83, 0x00, 0x20, 0x00, 0x00, /* fxsave [rbx + 0x2000] */
    0xe6,          0x10,                               /* out 0x10, al */
    0xeb,          0xc4,                               /* jmp 1b */
    [0x4e] = 0xc3,                                     /* 2: ret */
};
static const unsigned char iret[] = {0x48, 0xcf};
/* mov al, [0x200000]; mov [0x200000], al; out 0x10, al; jmp */
static const unsigned char simple[] = {0x8a, 0x04, 0x25, 0x00, 0x00, 0x20, 0x00, 0x88, 0x04,
                                       0x25, 0x00, 0x00, 0x20, 0x00, 0xe6, 0x10, 0xeb, 0xee};

static int kvm, vm;
static unsigned char *ram;

struct vcpu {
    int fd, number;
    struct kvm_run *run;
    pthread_t thread;
};

static void put(unsigned long at, unsigned long value)
{
    memcpy(ram + at, &value, sizeof(value));
}

/* Tables for 64-bit mode that map addresses one to one, the first 2 MiB by small pages. */
static void tables_make(void)
{
    put(TABLES, (TABLES + PAGE) | 7);
    put(TABLES + PAGE, (TABLES + 2 * PAGE) | 7);
    put(TABLES + 2 * PAGE, (TABLES + 3 * PAGE) | 7);
    for (unsigned long i = 1; i < 512; i++)
        put(TABLES + 2 * PAGE + i * 8, i << 21 | 0x87);
    for (unsigned long i = 0; i < 512; i++)
        put(TABLES + 3 * PAGE + i * 8, i << 12 | 7);
    for (unsigned long i = 0; i < 256; i++)
        put(IDT + i * 16, (HANDLER & 0xffff) | 8 << 16 | 0x8e00ul << 32 | (HANDLER >> 16) << 48);
    put(GDT + 8, 0x00af9b000000ffff);
    put(GDT + 16, 0x00cf93000000ffff);
    memcpy(ram + HANDLER, iret, sizeof(iret));
}

static void vm_make(int flags, int fd)
{
    ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED | flags, fd, 0);
    CHECK(ram != MAP_FAILED);
    tables_make();
    vm = ioctl(kvm, KVM_CREATE_VM, 0);
    const struct kvm_userspace_memory_region g = {
        .flags = KVM_MEM_LOG_DIRTY_PAGES, .memory_size = RAM, .userspace_addr = (unsigned long)ram};
    CHECK(vm >= 0 && !ioctl(vm, KVM_SET_USER_MEMORY_REGION, &g));
}

static void vcpu_begin(struct vcpu *v)
{
    const struct kvm_segment cs = {.limit = ~0u, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1};
    const struct kvm_segment ds = {.limit = ~0u, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1};
    struct kvm_sregs s;
    CHECK(!ioctl(v->fd, KVM_GET_SREGS, &s));
    s.cr3 = TABLES;
    s.cr4 = 0x620;
    s.cr0 = 0x80050033;
    s.efer = 0x500;
    s.cs = cs;
    s.ds = s.es = s.fs = s.gs = s.ss = ds;
    s.idt.base = IDT;
    s.idt.limit = 4095;
    s.gdt.base = GDT;
    s.gdt.limit = 255;
    s.tr = (struct kvm_segment){.base = TSS, .limit = 0x67, .type = 11, .present = 1, .selector = 0x18};
    CHECK(!ioctl(v->fd, KVM_SET_SREGS, &s));
    const unsigned long n = (unsigned long)v->number;
    const struct kvm_regs r = {.rip = CODE, .rsp = STACK + 0x800 + n * PAGE, .rflags = 2, .rbx = DATA + n * 0x10000};
    CHECK(!ioctl(v->fd, KVM_SET_REGS, &r));
}

static void vcpu_make(struct vcpu *v, int number)
{
    static struct {
        struct kvm_cpuid2 head;
        struct kvm_cpuid_entry2 entry[256];
    } cpuid;
    cpuid.head.nent = 256;
    CHECK(!ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid));
    *v = (struct vcpu){.number = number, .fd = ioctl(vm, KVM_CREATE_VCPU, number)};
    CHECK(v->fd >= 0 && !ioctl(v->fd, KVM_SET_CPUID2, &cpuid));
    v->run = mmap(NULL, 0x3000, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
    CHECK(v->run != MAP_FAILED);
    vcpu_begin(v);
}

static void drop(struct vcpu *v)
{
    munmap(v->run, 0x3000);
    close(v->fd);
    close(vm);
    munmap(ram, RAM);
}

static bool runs(struct vcpu *v)
{
    return !ioctl(v->fd, KVM_RUN, 0) && v->run->exit_reason == KVM_EXIT_IO;
}

static bool faults(struct vcpu *v)
{
    return ioctl(v->fd, KVM_RUN, 0) == -1 && errno == EFAULT;
}

static bool translates(struct vcpu *v)
{
    struct kvm_translation t = {.linear_address = CODE + 5};
    CHECK(!ioctl(v->fd, KVM_TRANSLATE, &t));
    CHECK(t.physical_address == (t.valid ? CODE + 5 : ~0ull));
    return t.valid;
}

/* Each kind of page that an instruction needs, and how it may be gone. */
static void test_protection(void)
{
    static const unsigned long pages[] = {CODE, DATA, TABLES, TABLES + PAGE, TABLES + 2 * PAGE, TABLES + 3 * PAGE};
    struct vcpu v;
    vm_make(MAP_ANONYMOUS, -1);
    memcpy(ram + CODE, simple, sizeof(simple));
    vcpu_make(&v, 0);
    for (int ran = 0; ran < 2; ran++)
        for (unsigned i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
            vcpu_begin(&v); /* flushes the TLB */
            if (ran)
                CHECK(runs(&v));
            if (pages[i] != DATA && ran)
                vcpu_begin(&v);
            CHECK(!mprotect(ram + pages[i], PAGE, PROT_NONE));
            CHECK(faults(&v) && faults(&v));
            CHECK(translates(&v) == (pages[i] == CODE || pages[i] == DATA));
            CHECK(!mprotect(ram + pages[i], PAGE, PROT_READ | PROT_WRITE));
            CHECK(translates(&v));
            CHECK(runs(&v));
        }
    CHECK(!mprotect(ram + DATA, PAGE, PROT_READ) && faults(&v));
    CHECK(!mprotect(ram + DATA, PAGE, PROT_READ | PROT_WRITE) && runs(&v));
    CHECK(!munmap(ram + DATA, PAGE) && faults(&v));
    CHECK(mmap(ram + DATA, PAGE, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_SHARED | MAP_ANONYMOUS, -1, 0) == ram + DATA);
    CHECK(runs(&v));
    CHECK(!madvise(ram + DATA, PAGE, MADV_DONTNEED) && runs(&v));
    drop(&v);
}

static void test_file(void)
{
    struct vcpu v;
    int fd = memfd_create("ram", MFD_CLOEXEC);
    CHECK(fd >= 0 && !ftruncate(fd, RAM));
    vm_make(0, fd);
    memcpy(ram + CODE, simple, sizeof(simple));
    vcpu_make(&v, 0);
    CHECK(runs(&v));
    CHECK(!ftruncate(fd, DATA) && faults(&v) && faults(&v));
    CHECK(!ftruncate(fd, RAM) && runs(&v));
    drop(&v);
    close(fd);
}

/* -- all at once -- */

static volatile bool stop;
static volatile long fault_count, out_count;

static void on_signal(int sig)
{
}

static void *run_for_ever(void *opaque)
{
    struct vcpu *v = opaque;
    while (!stop) {
        int r = ioctl(v->fd, KVM_RUN, 0);
        CHECK(r == 0 || errno == EFAULT || errno == EINTR);
        if (r)
            __atomic_fetch_add(&fault_count, errno == EFAULT, __ATOMIC_SEQ_CST);
        else if (v->run->exit_reason == KVM_EXIT_IO)
            __atomic_fetch_add(&out_count, 1, __ATOMIC_SEQ_CST);
        else
            vcpu_begin(v);
    }
    return NULL;
}

static void come_and_go(void)
{
    static const unsigned long pages[] = {
        CODE,  HANDLER,      DATA,   DATA + PAGE,   DATA + 2 * PAGE,   DATA + 0x10000,
        STACK, STACK + PAGE, TABLES, TABLES + PAGE, TABLES + 2 * PAGE, TABLES + 3 * PAGE,
        IDT,   GDT};
    static unsigned long bits[RAM / PAGE / 64];
    struct kvm_dirty_log log = {.dirty_bitmap = bits};
    unsigned long n = 1;
    for (time_t end = time(NULL) + 3; time(NULL) < end;) {
        n = n * 6364136223846793005 + 1442695040888963407;
        unsigned char *page = ram + pages[(n >> 33) % (sizeof(pages) / sizeof(pages[0]))];
        CHECK(!mprotect(page, PAGE, n >> 63 ? PROT_NONE : PROT_READ));
        usleep((n >> 50) % 256);
        CHECK(!mprotect(page, PAGE, PROT_READ | PROT_WRITE));
        usleep((n >> 40) % 256);
        CHECK((n >> 32) % 64 || !ioctl(vm, KVM_GET_DIRTY_LOG, &log));
    }
}

static void test_storm(void)
{
    struct vcpu v[2];
    const struct kvm_mp_state running = {KVM_MP_STATE_RUNNABLE};
    vm_make(MAP_ANONYMOUS, -1);
    memcpy(ram + CODE, code, sizeof(code));
    signal(SIGUSR1, on_signal);
    for (int i = 0; i < 2; i++) {
        vcpu_make(&v[i], i);
        CHECK(!ioctl(v[i].fd, KVM_SET_MP_STATE, &running));
        CHECK(!pthread_create(&v[i].thread, NULL, run_for_ever, &v[i]));
    }
    come_and_go();
    long before = out_count;
    for (int i = 0; i < 1000 && out_count < before + 10; i++)
        usleep(10000);
    CHECK(fault_count > 0 && out_count >= before + 10);
    stop = true;
    for (int i = 0; i < 2; i++)
        CHECK(!pthread_join(v[i].thread, NULL)); /* each vCPU leaves by its OUT */
    close(v[1].fd);
    drop(&v[0]);
}

int main(void)
{
    kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    CHECK(kvm >= 0);
    test_protection();
    test_file();
    test_storm();
    printf("ok\n");
    return 0;
}
