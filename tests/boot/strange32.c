/*
 * A 32-bit program without a library, for strange.h: system calls in all ways that 32-bit code has, segments of its
 * LDT, code that changes, a visit to 64-bit code and back. Exit status 42: all was as it must be.
 */
#include <stdint.h>

#define SYS32_exit 1
#define SYS32_getpid 20
#define SYS32_mprotect 125
#define SYS32_modify_ldt 123
#define AT_SYSINFO 32

static uint32_t (*entry)(void); /* of the vDSO: SYSENTER or SYSCALL */

static int call(int number, uint32_t a, uint32_t b, uint32_t c)
{
    int result;
    __asm__ volatile("int $0x80" : "=a"(result) : "0"(number), "b"(a), "c"(b), "d"(c) : "memory");
    return result;
}

static int fast_call(int number)
{
    int result;
    __asm__ volatile("call *%1" : "=a"(result) : "m"(entry), "0"(number) : "ecx", "edx", "memory", "cc");
    return result;
}

static uint8_t code[4096] __attribute__((aligned(4096)));
static uint32_t data[1024] __attribute__((aligned(4096)));

static int ldt(void)
{
    for (unsigned i = 0; i < 20; i++) {
        uint32_t d[] = {3, (uint32_t)data + i * 4, 64, 1 | 1 << 6}; /* number, base, limit; 32 bits wide, usable */
        uint32_t got, limit;
        data[i + 4] = i * 77 + 1;
        if (call(SYS32_modify_ldt, 1, (uint32_t)d, sizeof d))
            return 1;
        __asm__ volatile("mov %2, %%fs; mov %%fs:16, %0; lsl %2, %1; incl %%fs:16"
                         : "=&r"(got), "=&r"(limit)
                         : "r"(3 * 8 + 7)
                         : "memory", "cc");
        if (got != i * 77 + 1 || data[i + 4] != got + 1 || limit != 64)
            return 2;
        call(SYS32_getpid, 0, 0, 0);
        __asm__ volatile("mov %%fs:16, %0" : "=r"(got));
        if (got != i * 77 + 2)
            return 3;
    }
    return 0;
}

static int changing(void)
{
    if (call(SYS32_mprotect, (uint32_t)code, sizeof code, 7))
        return 4;
    for (uint32_t i = 0; i < 500; i++) {
        code[0] = 0xb8;
        *(uint32_t *)(code + 1) = i * 12345;
        code[5] = 0x40; /* INC EAX, a REX prefix of 64-bit code */
        code[6] = 0xc3;
        if (((uint32_t(*)(void))code)() != i * 12345 + 1)
            return 5;
    }
    return 0;
}

static int visit64(void)
{
    for (unsigned i = 0; i < 200; i++) {
        uint32_t low, high;
        /* 64-bit code: MOV RAX, RDX << 32 | RAX; ROR RAX, 32; far return. */
        static const uint8_t wide[] = {0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xd0, 0x48, 0xc1,
                                       0xc8, 0x20, 0x89, 0xc2, 0x48, 0xc1, 0xe8, 0x20, 0xcb};
        for (unsigned k = 0; k < sizeof wide; k++)
            code[64 + k] = wide[k];
        struct __attribute__((packed)) {
            uint32_t offset;
            uint16_t selector;
        } to = {(uint32_t)(code + 64), 0x33};
        __asm__ volatile("lcall *%2" : "=a"(low), "=d"(high) : "m"(to), "0"(i), "1"(i * 3) : "memory", "cc");
        if (low != i || high != i * 3)
            return 6;
    }
    return 0;
}

__attribute__((used)) static void begin(const uint32_t *stack)
{
    const uint32_t *p = stack + 1;
    int bad = 0, pid = call(SYS32_getpid, 0, 0, 0);
    for (unsigned nulls = 0; nulls < 2; p++)
        nulls += !*p;
    for (; *p; p += 2)
        if (*p == AT_SYSINFO)
            entry = (uint32_t(*)(void))p[1];
    for (unsigned i = 0; i < 300 && entry && !bad; i++)
        bad = fast_call(SYS32_getpid) == pid ? 0 : 7;
    bad = bad ? bad : ldt();
    bad = bad ? bad : changing();
    bad = bad ? bad : visit64();
    call(SYS32_exit, bad ? (uint32_t)bad : 42, 0, 0);
}

__asm__(".globl _start; _start: mov %esp, %eax; and $-16, %esp; sub $12, %esp; push %eax; call begin; hlt");
