/*
 * Self-modifying code: a store into code that ran, code of the same block ahead of the store, code on another page,
 * through another mapping, by string instructions, across a page end, by a device, and code that a page-table change
 * replaces; code on the page of a page table.
 */
#include "runtime.h"

#define ALIAS 0x8000000000ull
#define CROSSING 0x8000200000ull

static u8 *code; /* two pages, both writable and executable */

/* mov $imm, %eax; ret */
static void put_function(u8 *at, u32 imm)
{
    at[0] = 0xb8;
    copy(at + 1, &imm, 4);
    at[5] = 0xc3;
}

static u32 call(const u8 *at)
{
    __asm__ volatile("" : : : "memory");
    return ((u32(*)(void))at)();
}

static void rewrite(void)
{
    bool good = true;
    for (u32 i = 0; i < 1000; i++) {
        put_function(code, i);
        good &= call(code) == i;
    }
    check(good, "a function rewritten 1000 times");
    good = true;
    put_function(code, 0);
    for (u32 i = 0; i < 1000; i++) {
        *(volatile u8 *)(code + 1) = (u8)i;
        good &= call(code) == (u8)i;
    }
    check(good, "a store to one byte of an immediate");
    put_function(code, 1);
    put_function(code + 64, 2);
    call(code);
    call(code + 64);
    put_function(code + 64, 3);
    check(call(code) == 1 && call(code + 64) == 3, "a store to a neighbour on the same page");
    *(volatile u32 *)(code + 2048) = 5;
    check(call(code) == 1 && call(code + 64) == 3, "data on a page with code");
    put_function(code, 7);
    call(code);
    u32 imm = 0x01010101;
    __asm__ volatile("lock xaddl %0, (%1)" : "+r"(imm) : "r"(code + 1) : "memory");
    check_eq(call(code), 0x01010108, "a locked instruction on code");
    fill(code + 1, 0x22, 4);
    check_eq(call(code), 0x22222222, "REP STOS on code");
    u8 other[6];
    put_function(other, 0x33);
    copy(code, other, 6);
    check_eq(call(code), 0x33, "REP MOVS on code");
}

/* The store changes the immediate of an instruction right behind it. */
static void ahead(void)
{
    u32 good = 0;
    for (u32 i = 1; i <= 100; i++) {
        u32 result;
        __asm__ volatile("movl %1, 1f+1(%%rip)\n\t"
                         "1: movl $0, %0"
                         : "=&a"(result)
                         : "r"(i)
                         : "memory");
        good += result == i;
    }
    check_eq(good, 100, "a store to the next instruction");
    good = 0;
    for (u32 i = 1; i <= 100; i++) {
        u32 result;
        __asm__ volatile("movl %1, 1f+1(%%rip)\n\t"
                         "nop; nop; jmp 2f\n\t"
                         "2: nop\n\t"
                         "1: movl $0, %0"
                         : "=&a"(result)
                         : "r"(i)
                         : "memory");
        good += result == i;
    }
    check_eq(good, 100, "a store to an instruction behind a jump");
}

/* A loop that overwrites its own body: inc becomes dec after ten turns. */
static void own_loop(void)
{
    u64 n = 0, turns = 20, flip = 10;
    __asm__ volatile("1: inc %0\n\t" /* 48 ff cN */
                     "dec %2\n\t"
                     "jnz 2f\n\t"
                     "orb $8, 1b+2(%%rip)\n\t"
                     "2: dec %1\n\t"
                     "jnz 1b\n\t"
                     "andb $~8, 1b+2(%%rip)"
                     : "+a"(n), "+c"(turns), "+d"(flip)
                     :
                     : "memory", "cc");
    check_eq(n, 0, "a loop that changes its own body");
}

/* The same with registers that an engine may keep in other places while a loop runs. */
static void own_loop_registers(void)
{
    u64 a = 1, b = 2, c = 0, x = 1, y = 2, z = 0;
    register u64 r11 __asm__("r11") = a, r14 __asm__("r14") = b, r15 __asm__("r15") = c;
    __asm__ volatile("mov $100, %%ecx\n\t"
                     "1: lea (%0,%1,2), %0\n\t"
                     "xor %%rcx, %1\n\t"
                     "movl %%ecx, 2f+3(%%rip)\n\t"
                     "2: add $0x11111111, %2\n\t" /* 49 81 c7 imm32 */
                     "add %0, %1\n\t"
                     "xor %1, %2\n\t"
                     "dec %%ecx\n\t"
                     "jnz 1b"
                     : "+r"(r11), "+r"(r14), "+r"(r15)
                     :
                     : "rcx", "memory", "cc");
    a = r11, b = r14, c = r15;
    for (u64 i = 100; i; i--) {
        x += y * 2;
        y ^= i;
        z += i;
        y += x;
        z ^= y;
    }
    check(a == x && b == y && c == z, "a loop that changes its own body, in r11, r14 and r15");
}

/* A loop right before an instruction that crosses the page end, which is decoded apart. */
static void loop_at_page_end(void)
{
    static const u8 text[] = {0xb9, 100,  0,    0, 0,                /* mov ecx, 100 */
                              0x49, 0x83, 0xc7, 1,                   /* add r15, 1 */
                              0xff, 0xc9,                            /* dec ecx */
                              0x75, 0xf8,                            /* jnz back */
                              0x48, 0xb8, 1,    2, 3, 4, 5, 6, 7, 8, /* mov rax, 0x0807060504030201 */
                              0xc3};
    u8 *at = code + 4096 - 17;
    copy(at, text, sizeof(text));
    u64 result;
    register u64 r12 __asm__("r12") = 12, r13 __asm__("r13") = 13, r15 __asm__("r15") = 15;
    __asm__ volatile("call *%4" : "=&a"(result), "+r"(r12), "+r"(r13), "+r"(r15) : "r"(at) : "rcx", "memory", "cc");
    u64 twelve = r12, thirteen = r13, sum = r15;
    check_eq(result, 0x0807060504030201, "a loop before an instruction over the page end");
    check(twelve == 12 && thirteen == 13 && sum == 115, "registers of a loop before an instruction over the page end");
}

/* PUSH of a variable on the stack. The instruction crosses the end of a page of code, and the end of a page of the
 * stack lies between the word that it reads and the one that it writes. It runs ten times, so that what an engine found
 * out at the first is used. */
static void push_at_page_end(void)
{
    static const u8 text[] = {0x48, 0x89, 0xe0,       /* mov rax, rsp */
                              0x48, 0x89, 0xfc,       /* mov rsp, rdi */
                              0xff, 0x74, 0x24, 0x08, /* push qword [rsp + 8] */
                              0x48, 0x89, 0xc4,       /* mov rsp, rax */
                              0xc3};
    static u64 stack[1024] __attribute__((aligned(4096)));
    u64 *at = stack + 512, good = 0;
    copy(code + 4096 - 8, text, sizeof(text));
    for (u64 i = 1; i <= 10; i++) {
        at[1] = i;
        __asm__ volatile("call *%0" : : "r"(code + 4096 - 8), "D"(at) : "rax", "memory");
        good += at[-1] == i;
    }
    check_eq(good, 10, "PUSH over a page end, between two pages of the stack");
}

static void mappings(void)
{
    map_page(ALIAS, (u64)code, PTE_P | PTE_W);
    put_function(code, 1);
    call(code);
    call((u8 *)ALIAS);
    put_function((u8 *)ALIAS, 2);
    check_eq(call(code), 2, "a store through another mapping");
    put_function(code, 3);
    check_eq(call((u8 *)ALIAS), 3, "a store seen through another mapping");
    put_function(code + 4096, 4);
    map_page(ALIAS, (u64)code + 4096, PTE_P | PTE_W);
    check_eq(call((u8 *)ALIAS), 4, "another frame at the same address");
    map_page(ALIAS, (u64)code, PTE_P | PTE_W);
    check_eq(call((u8 *)ALIAS), 3, "the first frame again at the same address");
}

static void page_end(void)
{
    u8 *at = code + 4096 - 3;
    put_function(at, 0x11223344);
    check_eq(call(at), 0x11223344, "a function over a page end");
    *(volatile u8 *)(code + 4096 + 1) = 0x55;
    check_eq(call(at), 0x55223344, "a function over a page end whose second page changes");
    *(volatile u8 *)(code + 4096 - 2) = 0x66;
    check_eq(call(at), 0x55223366, "a function over a page end whose first page changes");
    *(volatile u32 *)(code + 4096 - 2) = 0x01020304;
    check_eq(call(at), 0x01020304, "a store over the page end");
}

/* A page table that has code between its entries. The fetch of an instruction over the page end sets accessed bits
 * there, among them that of the second page, for which the first one has to be known already. */
static void table_with_code(void)
{
    u64 *pte = pte_of(pml4, CROSSING, 1);
    u8 *between = (u8 *)pte + 2048, *at = (u8 *)CROSSING + 4096 - 3;
    put_function(code + 4096 - 3, 0x11223344);
    put_function(between, 1);
    map_page(CROSSING, (u64)code, PTE_P);
    map_page(CROSSING + 4096, (u64)code + 4096, PTE_P);
    check(call(between) == 1 && call(at) == 0x11223344, "code in a page table, and a function over a page end");
    bool good = true;
    for (u32 i = 2; i < 100; i++) {
        pte[1] &= ~PTE_A;
        invlpg(CROSSING + 4096);
        good &= call(at) == 0x11223344 && pte[1] & PTE_A;
        *(volatile u8 *)(between + 1) = (u8)i;
        good &= call(between) == i;
    }
    check(good, "accessed bits of the second page of a function over a page end");
    pte[1] = 0;
    invlpg(CROSSING + 4096);
    struct fault f = catch_fault((void (*)(void *))at, NULL);
    check(f.raised && f.vector == EXC_PF && f.cr2 == CROSSING + 4096,
          "a function over a page end whose second page is missing");
}

/* fw_cfg's DMA interface writes `length` bytes of its signature, "QEMU", and zeros behind it. */
struct fw_cfg_dma {
    u32 control, length;
    u64 address;
};
#define DMA_READ BIT(1)
#define DMA_SELECT BIT(3)
#define FW_CFG_DMA_LOW 0x518
#define FW_CFG_SIGNATURE 0x554d4551

static void dma_prepare(struct fw_cfg_dma *d, void *to, u32 length)
{
    *d = (struct fw_cfg_dma){
        .control = __builtin_bswap32(DMA_READ | DMA_SELECT),
        .length = __builtin_bswap32(length),
        .address = __builtin_bswap64((u64)to),
    };
}

static void dma_start(const struct fw_cfg_dma *d)
{
    u32 address = __builtin_bswap32((u32)(u64)d);
    __asm__ volatile("outl %0, %w1" : : "a"(address), "d"(FW_CFG_DMA_LOW) : "memory");
}

static void dma(void *to, u32 length)
{
    struct fw_cfg_dma d;
    dma_prepare(&d, to, length);
    dma_start(&d);
}

static void device(void)
{
    put_function(code, 1);
    call(code);
    dma(code + 1, 4);
    check_eq(call(code), FW_CFG_SIGNATURE, "a device writes code");
    put_function(code, 2);
    check_eq(call(code), 2, "the CPU writes code that a device wrote");
    dma(code + 1, 2);
    check_eq(call(code), FW_CFG_SIGNATURE & 0xffff, "a device writes code that the CPU wrote");
    u8 *at = code + 4096 - 3;
    put_function(at, 0x11223344);
    call(at);
    dma(at + 1, 4);
    check_eq(call(at), FW_CFG_SIGNATURE, "a device writes over the page end");
    /* The device's answer is a write, too: it goes into the immediate of `mov $control, %eax`. */
    put_function(code, 0);
    struct fw_cfg_dma *d = (struct fw_cfg_dma *)(code + 1);
    *d = (struct fw_cfg_dma){.control = __builtin_bswap32(DMA_SELECT), .length = 0xc3};
    check(call(code) != 0, "a function that begins as a DMA descriptor");
    dma_start(d);
    check_eq(call(code), 0, "the device's answer to a DMA descriptor changes code");
}

/* mov $FW_CFG_DMA_LOW, %edx; mov $address, %eax; out %eax, %dx; mov $0, %eax; ret */
static void device_ahead(void)
{
    static u8 function[] = {0xba, 0x18, 5, 0, 0, 0xb8, 0, 0, 0, 0, 0xef, 0xb8, 0, 0, 0, 0, 0xc3};
    struct fw_cfg_dma d;
    u32 address = __builtin_bswap32((u32)(u64)&d), good = 0;
    copy(function + 6, &address, 4);
    for (unsigned i = 0; i < 100; i++) {
        copy(code, function, sizeof function);
        dma_prepare(&d, code + 12, 4);
        u32 result;
        __asm__ volatile("call *%1" : "=a"(result) : "r"(code) : "rdx", "memory");
        good += result == FW_CFG_SIGNATURE;
    }
    check_eq(good, 100, "a device writes the next instruction");
}

int main(void)
{
    code = page_alloc();
    page_alloc();
    rewrite();
    ahead();
    own_loop();
    own_loop_registers();
    loop_at_page_end();
    push_at_page_end();
    mappings();
    page_end();
    table_with_code();
    device();
    device_ahead();
    return 0;
}
