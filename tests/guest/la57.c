/*
 * Five-level paging: entering and leaving it, what is canonical then, and which registers take 57-bit addresses in
 * either mode. Needs a CPU model with la57.
 */
#include "runtime.h"

#define MSR_LSTAR 0xc0000082u
#define WIDE (1ull << 48)

static u64 pml5[512] __attribute__((aligned(4096)));

/* Leaves long mode, loads CR4 and CR3, and comes back. */
void paging_switch(u64 cr4, u64 cr3);
__asm__(".text\n"
        "paging_switch:\n"
        "  push %rbx\n"
        "  mov %rsp, %rbx\n"
        "  pushq $0x18; lea 1f(%rip), %rax; push %rax; lretq\n"
        "  .code32\n"
        "1: mov %cr0, %eax; btr $31, %eax; mov %eax, %cr0\n"
        "  mov %edi, %cr4\n"
        "  mov %esi, %cr3\n"
        "  mov %cr0, %eax; bts $31, %eax; mov %eax, %cr0\n"
        "  ljmp $0x08, $2f\n"
        "  .code64\n"
        "2: mov %rbx, %rsp\n"
        "  pop %rbx\n"
        "  ret\n");

static void touch(void *p)
{
    (void)*(volatile u64 *)p;
}

static void set_la57(void *p)
{
    write_cr4(read_cr4() ^ CR4_LA57);
}

static void set_lstar(void *p)
{
    wrmsr(MSR_LSTAR, (u64)p);
}

static struct {
    u16 limit;
    u64 base;
} __attribute__((packed)) table;

static void set_idtr(void *p)
{
    __asm__ volatile("sidt %0" : "=m"(table));
    u64 good = table.base;
    table.base = (u64)p;
    __asm__ volatile("lidt %0" : : "m"(table));
    table.base = good;
    __asm__ volatile("lidt %0" : : "m"(table));
}

static void jump(void *p)
{
    __asm__ volatile("call *%0" : : "r"(p) : "memory");
}

static void wide_registers(void)
{
    check(!catch_fault(set_lstar, (void *)WIDE).raised, "LSTAR takes a 57-bit address");
    check(catch_fault(set_lstar, (void *)(1ull << 57)).vector == EXC_GP, "LSTAR takes no address beyond 57 bits");
    check(!catch_fault(set_idtr, (void *)WIDE).raised, "IDTR takes a 57-bit base");
    invlpg(WIDE);
    wrmsr(MSR_LSTAR, 0);
}

int main(void)
{
    if (!(cpuid(7, 0).c & BIT(16))) {
        skip("five-level paging", "no LA57");
        return 0;
    }
    u64 *high = page_alloc(), *frame = page_alloc();
    pml5[0] = (u64)pml4 | PTE_P | PTE_W | PTE_U;
    pml5[1] = (u64)high | PTE_P | PTE_W | PTE_U;
    *frame = 0x5757;
    *pte_of(high, 0x7000, 1) = (u64)frame | PTE_P | PTE_W;
    check(catch_fault(set_la57, NULL).vector == EXC_GP, "CR4.LA57 cannot be set in long mode");
    struct fault f = catch_fault(touch, (void *)(WIDE + 0x7000));
    check(f.raised && f.vector == EXC_GP, "bit 48 alone is not canonical with four levels");
    wide_registers();
    u64 cr4 = read_cr4(), cr3 = read_cr3();
    paging_switch(cr4 | CR4_LA57, (u64)pml5);
    check(read_cr4() & CR4_LA57, "CR4.LA57 is set");
    check_eq(*(volatile u64 *)(WIDE + 0x7000), 0x5757, "an address with bit 48 is mapped by five levels");
    f = catch_fault(touch, (void *)(WIDE + 0x8000));
    check(f.raised && f.vector == EXC_PF && f.cr2 == WIDE + 0x8000, "a missing page of five-level paging is #PF");
    f = catch_fault(touch, (void *)(1ull << 56));
    check(f.raised && f.vector == EXC_GP, "bit 56 alone is not canonical");
    f = catch_fault(touch, (void *)0xff00000000000000);
    check(f.raised && f.vector == EXC_PF && f.error == 0, "an address with bits 63 to 56 all set is canonical");
    f = catch_fault(jump, (void *)(WIDE + 0x9000));
    check(f.raised && f.vector == EXC_PF && f.rip == WIDE + 0x9000,
          "a jump to a missing page of five-level paging faults at the fetch");
    check(catch_fault(set_la57, NULL).vector == EXC_GP, "CR4.LA57 cannot be cleared in long mode");
    wide_registers();
    paging_switch(cr4, cr3);
    check(!(read_cr4() & CR4_LA57), "back to four levels");
    f = catch_fault(touch, (void *)(WIDE + 0x7000));
    check(f.raised && f.vector == EXC_GP, "bit 48 alone is not canonical again");
    return 0;
}
