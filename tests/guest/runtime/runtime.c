/*
 * Console on COM1, verdicts, the IDT, and faults that tests provoke on purpose.
 */
#include "runtime.h"

#define COM1 0x3f8
#define DEBUG_EXIT 0xf4
#define GATE_INT 0x8e
#define DPL3 0x60
#define VECTOR_RETURN 0x7f /* a function at CPL 3 has returned */

struct gate idt[256] __attribute__((aligned(4096)));
struct tss64 tss __attribute__((aligned(128)));
static u8 df_stack[8192] __attribute__((aligned(16)));
static void (*handlers[256])(struct frame *f);
static struct fault caught;
static unsigned passed, failed;

static void put(char c)
{
    while (!(inb(COM1 + 5) & 0x20))
        ;
    outb(COM1, (u8)c);
}

void print(const char *s)
{
    for (; *s; s++) {
        if (*s == '\n')
            put('\r');
        put(*s);
    }
}

void print_hex(u64 x)
{
    char text[19] = "0x";
    unsigned digits = 1;
    while (digits < 16 && x >> (4 * digits))
        digits++;
    for (unsigned i = 0; i < digits; i++)
        text[2 + i] = "0123456789abcdef"[x >> (4 * (digits - 1 - i)) & 15];
    text[2 + digits] = 0;
    print(text);
}

static void print_number(unsigned n)
{
    char text[12];
    unsigned i = sizeof text - 1;
    text[i] = 0;
    do
        text[--i] = (char)('0' + n % 10);
    while (n /= 10);
    print(text + i);
}

void check(bool good, const char *name)
{
    *(good ? &passed : &failed) += 1;
    print(good ? "ok " : "not ok ");
    print_number(passed + failed);
    print(" ");
    print(name);
    print("\n");
}

void check_eq(u64 is, u64 should, const char *name)
{
    check(is == should, name);
    if (is != should) {
        print("# is ");
        print_hex(is);
        print(", should be ");
        print_hex(should);
        print("\n");
    }
}

void skip(const char *name, const char *why)
{
    passed++;
    print("ok ");
    print_number(passed + failed);
    print(" ");
    print(name);
    print(" # SKIP ");
    print(why);
    print("\n");
}

void debug_exit(u32 value)
{
    for (;;) {
        outl(DEBUG_EXIT, value);
        __asm__ volatile("cli; hlt");
    }
}

void finish(void)
{
    print_number(passed);
    print(" passed, ");
    print_number(failed);
    print(" failed\n");
    debug_exit(failed ? 1 : 0);
}

void *copy(void *dst, const void *src, size_t n)
{
    void *d = dst;
    __asm__ volatile("rep movsb" : "+D"(d), "+S"(src), "+c"(n) : : "memory");
    return dst;
}

void *fill(void *dst, u8 value, size_t n)
{
    void *d = dst;
    __asm__ volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(value) : "memory");
    return dst;
}

bool same(const void *a, const void *b, size_t n)
{
    const u8 *x = a, *y = b;
    while (n--)
        if (*x++ != *y++)
            return false;
    return true;
}

/* The compiler may call these for struct copies. */
void *memcpy(void *dst, const void *src, size_t n);
void *memcpy(void *dst, const void *src, size_t n)
{
    return copy(dst, src, n);
}

void *memset(void *dst, int value, size_t n);
void *memset(void *dst, int value, size_t n)
{
    return fill(dst, (u8)value, n);
}

void gate_set(u8 vector, u64 handler, u16 selector, u8 type, u8 ist)
{
    idt[vector] = (struct gate){.offset0 = (u16)handler,
                                .selector = selector,
                                .ist = ist,
                                .type = type,
                                .offset1 = (u16)(handler >> 16),
                                .offset2 = (u32)(handler >> 32)};
}

void on_vector(u8 vector, void (*handler)(struct frame *f))
{
    handlers[vector] = handler;
}

static void unexpected(const struct frame *f)
{
    print("# unexpected vector ");
    print_hex(f->vector);
    print(" error ");
    print_hex(f->error);
    print(" at ");
    print_hex(f->cs);
    print(":");
    print_hex(f->rip);
    print(" rsp ");
    print_hex(f->rsp);
    print(" cr2 ");
    print_hex(read_cr2());
    print("\n");
    failed++;
    finish();
}

void interrupt(struct frame *f)
{
    if (handlers[f->vector]) {
        handlers[f->vector](f);
        return;
    }
    if (!catch_rsp)
        unexpected(f);
    if (f->vector == VECTOR_RETURN)
        catch_leave(0);
    caught = (struct fault){.raised = true,
                            .vector = (u8)f->vector,
                            .error = f->error,
                            .cr2 = read_cr2(),
                            .dr6 = read_dr6(),
                            .rip = f->rip,
                            .cs = f->cs,
                            .rsp = f->rsp,
                            .rflags = f->rflags};
    catch_leave(1);
}

void show_fault(struct fault f)
{
    print("# vector ");
    print_hex(f.raised ? f.vector : ~0ull);
    print(" error ");
    print_hex(f.error);
    print(" cr2 ");
    print_hex(f.cr2);
    print("\n");
}

struct fault catch_fault(void (*fn)(void *), void *arg)
{
    return catch_enter(fn, arg) ? caught : (struct fault){0};
}

struct fault catch_user_flags(void (*fn)(void *), void *arg, u64 rflags)
{
    return catch_enter_user(fn, arg, rflags) ? caught : (struct fault){0};
}

static u64 user_flags = FLAG_ONE;

void users_fit(void)
{
    struct cpuid xsave = cpuid(0xd, 0);
    if (!(cpuid(1, 0).c & BIT(26)) || !(cpuid(7, 0).b & BIT(0)))
        return; /* no XSAVE, no FSGSBASE */
    write_cr4(read_cr4() | CR4_OSXSAVE | CR4_FSGSBASE);
    __asm__ volatile("xsetbv" : : "a"(xsave.a), "d"(xsave.d), "c"(0));
    wrmsr(0xc0000080, rdmsr(0xc0000080) | EFER_SCE);
    user_flags = FLAG_ONE | FLAG_IF;
}

struct fault catch_user(void (*fn)(void *), void *arg)
{
    return catch_user_flags(fn, arg, user_flags);
}

void runtime_init(void)
{
    extern const u8 idt_pointer[10];
    outb(COM1 + 3, 0x03);
    outb(COM1 + 1, 0x00);
    for (unsigned i = 0; i < 256; i++)
        gate_set((u8)i, (u64)vectors[i], SEL_CODE64, GATE_INT, 0);
    idt[EXC_BP].type |= DPL3;
    idt[EXC_OF].type |= DPL3;
    idt[VECTOR_RETURN].type |= DPL3;
    idt[EXC_DF].ist = 1;
    tss.ist[0] = (u64)(df_stack + sizeof df_stack);
    tss.iomap = sizeof tss;
    u64 base = (u64)&tss;
    gdt[SEL_TSS / 8] = 0x0000890000000000ull | (sizeof tss - 1) | (base & 0xffffff) << 16 | (base >> 24 & 0xff) << 56;
    gdt[SEL_TSS / 8 + 1] = base >> 32;
    __asm__ volatile("lidt (%0); ltr %w1" : : "r"(idt_pointer), "r"(SEL_TSS) : "memory");
    /* 8259s: vectors 20h and 28h, all masked. */
    static const u8 init[][2] = {{0x20, 0x11}, {0x21, 0x20}, {0x21, 0x04}, {0x21, 0x01}, {0x21, 0xff},
                                 {0xa0, 0x11}, {0xa1, 0x28}, {0xa1, 0x02}, {0xa1, 0x01}, {0xa1, 0xff}};
    for (unsigned i = 0; i < ARRAY_LEN(init); i++)
        outb(init[i][0], init[i][1]);
}

const char *find(const char *s, const char *what)
{
    for (; *s; s++) {
        unsigned i = 0;
        while (what[i] && s[i] == what[i])
            i++;
        if (!what[i])
            return s;
    }
    return NULL;
}
