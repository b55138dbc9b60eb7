/*
 * Paging in 64-bit mode: presence, write protection, user and supervisor, NX, SMEP, SMAP, reserved bits, accessed and
 * dirty bits, large pages, INVLPG, PCID, protection keys, page crossings, canonical addresses.
 */
#include "runtime.h"

#define LA 0x8000000000ull /* under PML4 entry 1, which nothing else uses */
#define UP 0x600000ull     /* the user page */

static u64 *page_a, *page_b;
static u64 *leaf;

/* clang-format off */
static void touch_read(void *p) { __asm__ volatile("mov (%0), %%rax" : : "r"(p) : "rax", "memory"); }
static void touch_write(void *p) { __asm__ volatile("movq $42, (%0)" : : "r"(p) : "memory"); }
static void touch_call(void *p) { ((void (*)(void))p)(); }
USER_TEXT static void user_read(void *p) { (void)*(volatile u64 *)p; }
USER_TEXT static void user_write(void *p) { *(volatile u64 *)p = 43; }
USER_TEXT static void user_call(void *p) { ((void (*)(void))p)(); }
USER_TEXT static void user_nothing(void *p) {}
/* clang-format on */

static void expect_pf(struct fault f, u64 error, u64 la, const char *name)
{
    bool good = f.raised && f.vector == EXC_PF && f.error == error && f.cr2 == la;
    check(good, name);
    if (!good)
        show_fault(f);
}

static void set(u64 flags)
{
    *leaf = (u64)page_a | flags;
    invlpg(LA);
}

static void protection(void)
{
    set(0);
    expect_pf(catch_fault(touch_read, (void *)LA), 0, LA, "read of a page that is not present");
    expect_pf(catch_fault(touch_write, (void *)(LA + 8)), PFERR_W, LA + 8, "write to a page that is not present");
    expect_pf(catch_user(user_read, (void *)LA), PFERR_U, LA, "user read of a page that is not present");
    set(PTE_P);
    check(!catch_fault(touch_read, (void *)LA).raised, "read of a read-only page");
    expect_pf(catch_fault(touch_write, (void *)LA), PFERR_P | PFERR_W, LA, "write to a read-only page with CR0.WP");
    check(!(*leaf & PTE_D), "a write that faults leaves the dirty bit clear");
    write_cr0(read_cr0() & ~CR0_WP);
    bool wrote = !catch_fault(touch_write, (void *)LA).raised;
    write_cr0(read_cr0() | CR0_WP);
    check(wrote && page_a[0] == 42, "write to a read-only page without CR0.WP");
    set(PTE_P);
    expect_pf(catch_fault(touch_write, (void *)LA), PFERR_P | PFERR_W, LA, "CR0.WP is back");
    set(PTE_P | PTE_W);
    expect_pf(catch_user(user_read, (void *)LA), PFERR_P | PFERR_U, LA, "user read of a supervisor page");
    expect_pf(catch_user(user_write, (void *)LA), PFERR_P | PFERR_U | PFERR_W, LA, "user write to a supervisor page");
    set(PTE_P | PTE_U);
    check(!catch_user(user_read, (void *)LA).raised, "user read of a user page");
    expect_pf(catch_user(user_write, (void *)LA), PFERR_P | PFERR_U | PFERR_W, LA,
              "user write to a read-only user page");
    set(PTE_P | PTE_U | PTE_W);
    check(!catch_user(user_write, (void *)LA).raised && page_a[0] == 43, "user write to a user page");
    u64 *upper = pte_of(pml4, LA, 2);
    *upper &= ~PTE_W;
    invlpg(LA);
    expect_pf(catch_fault(touch_write, (void *)LA), PFERR_P | PFERR_W, LA, "an upper entry that is read-only");
    *upper = (*upper | PTE_W) & ~PTE_U;
    invlpg(LA);
    expect_pf(catch_user(user_read, (void *)LA), PFERR_P | PFERR_U, LA, "an upper entry that is for the supervisor");
    *upper |= PTE_U;
    invlpg(LA);
}

static void execute_disable(void)
{
    *(u8 *)page_a = 0xc3;
    set(PTE_P | PTE_W);
    check(!catch_fault(touch_call, (void *)LA).raised, "fetch from a data page");
    if (!(cpuid(0x80000001, 0).d & BIT(20))) {
        skip("NX", "no NX");
        return;
    }
    set(PTE_P | PTE_W | PTE_NX);
    expect_pf(catch_fault(touch_call, (void *)LA), PFERR_P | PFERR_I, LA, "fetch from an NX page");
    check(!catch_fault(touch_read, (void *)LA).raised, "read of an NX page");
    set(PTE_P | PTE_W | PTE_NX | PTE_U);
    expect_pf(catch_user(user_call, (void *)LA), PFERR_P | PFERR_I | PFERR_U, LA, "user fetch from an NX page");
    set(0);
    expect_pf(catch_fault(touch_call, (void *)LA), PFERR_I, LA, "fetch from a page that is not present");
    u64 efer = rdmsr(0xc0000080);
    wrmsr(0xc0000080, efer & ~EFER_NXE);
    set(PTE_P | PTE_W | PTE_NX);
    struct fault f = catch_fault(touch_read, (void *)LA);
    wrmsr(0xc0000080, efer);
    expect_pf(f, PFERR_P | PFERR_RSVD, LA, "NX is reserved without EFER.NXE");
}

static void supervisor_mode(void)
{
    u32 b = cpuid(7, 0).b;
    *(u8 *)page_a = 0xc3;
    set(PTE_P | PTE_W | PTE_U);
    check(!catch_fault(touch_call, (void *)LA).raised, "supervisor fetch from a user page without SMEP");
    if (b & BIT(7)) {
        write_cr4(read_cr4() | CR4_SMEP);
        expect_pf(catch_fault(touch_call, (void *)LA), PFERR_P | PFERR_I, LA, "SMEP");
        check(!catch_fault(touch_read, (void *)LA).raised, "SMEP does not hinder reads");
        check(!catch_user(user_call, (void *)LA).raised, "SMEP does not hinder users");
        write_cr4(read_cr4() & ~CR4_SMEP);
    } else {
        skip("SMEP", "no SMEP");
    }
    if (b & BIT(20)) {
        write_cr4(read_cr4() | CR4_SMAP);
        expect_pf(catch_fault(touch_read, (void *)LA), PFERR_P, LA, "SMAP read");
        expect_pf(catch_fault(touch_write, (void *)LA), PFERR_P | PFERR_W, LA, "SMAP write");
        __asm__ volatile("stac");
        check(!catch_fault(touch_write, (void *)LA).raised, "SMAP with RFLAGS.AC");
        __asm__ volatile("clac");
        expect_pf(catch_fault(touch_read, (void *)LA), PFERR_P, LA, "SMAP again after CLAC");
        check(!catch_user(user_read, (void *)LA).raised, "SMAP does not hinder users");
        write_cr4(read_cr4() & ~CR4_SMAP);
    } else {
        skip("SMAP", "no SMAP");
    }
}

static void reserved_bits(void)
{
    unsigned bits = cpuid(0x80000008, 0).a & 0xff;
    if (bits < 52) {
        set(PTE_P | PTE_W | BIT64(51));
        expect_pf(catch_fault(touch_read, (void *)LA), PFERR_P | PFERR_RSVD, LA, "address bit beyond MAXPHYADDR");
        expect_pf(catch_fault(touch_write, (void *)LA), PFERR_P | PFERR_RSVD | PFERR_W, LA,
                  "a write through an entry with an address bit beyond MAXPHYADDR");
        set(BIT64(51));
        expect_pf(catch_fault(touch_read, (void *)LA), 0, LA,
                  "reserved bits do not count in an entry that is not present");
    } else {
        skip("MAXPHYADDR", "the CPU has 52 address bits");
    }
    set(PTE_P | PTE_W);
    u64 *large = pte_of(pml4, LA + 0x40000000, 2);
    *large = 0x400000 | PTE_P | PTE_W | PTE_PS | BIT64(13);
    expect_pf(catch_fault(touch_read, (void *)(LA + 0x40000000)), PFERR_P | PFERR_RSVD, LA + 0x40000000,
              "2 MiB page with address bit 13");
    *large = 0;
    u64 *top = pte_of(pml4, LA, 4);
    *top |= PTE_PS;
    invlpg(LA);
    expect_pf(catch_fault(touch_read, (void *)LA), PFERR_P | PFERR_RSVD, LA, "PS in a PML4 entry");
    *top &= ~PTE_PS;
    invlpg(LA);
}

static void accessed_dirty(void)
{
    u64 *two = pte_of(pml4, LA, 2), *three = pte_of(pml4, LA, 3), *four = pte_of(pml4, LA, 4);
    *two &= ~PTE_A;
    *three &= ~PTE_A;
    *four &= ~PTE_A;
    *leaf = (u64)page_a | PTE_P | PTE_W;
    write_cr3(read_cr3());
    touch_read((void *)LA);
    check((*leaf & (PTE_A | PTE_D)) == PTE_A, "a read sets the accessed bit only");
    check(*two & *three & *four & PTE_A, "a read sets the accessed bits of the upper levels");
    check(!(*two & PTE_D), "entries of the upper levels get no dirty bit");
    touch_write((void *)LA);
    check((*leaf & (PTE_A | PTE_D)) == (PTE_A | PTE_D), "a write sets the dirty bit");
    *leaf &= ~(PTE_A | PTE_D);
    invlpg(LA);
    touch_write((void *)LA);
    check((*leaf & (PTE_A | PTE_D)) == (PTE_A | PTE_D),
          "after INVLPG a write sets the accessed and the dirty bit again");
    u64 *large = pte_of(pml4, LA + 0x40000000, 2);
    *large = UP | PTE_P | PTE_W | PTE_PS;
    touch_read((void *)(LA + 0x40000000));
    check_eq(*large & (PTE_A | PTE_D), PTE_A, "accessed bit of a 2 MiB page");
    touch_write((void *)(LA + 0x40000000 + 0x1ff000));
    check(*large & PTE_D, "dirty bit of a 2 MiB page");
    check(*(volatile u64 *)(UP + 0x1ff000) == 42, "a write through a 2 MiB page reaches memory");
    *large = 0;
    invlpg(LA + 0x40000000);
    *leaf = (u64)page_a | PTE_P | PTE_W;
    invlpg(LA);
    u64 x = 1;
    page_a[0] = 7;
    __asm__ volatile("lock xadd %0, (%1)" : "+r"(x) : "r"(LA) : "memory");
    check(*leaf & PTE_D && x == 7 && page_a[0] == 8, "a locked read-modify-write sets the dirty bit");
}

static void huge_page(void)
{
    if (!(cpuid(0x80000001, 0).d & BIT(26))) {
        skip("1 GiB page", "no 1 GiB pages");
        return;
    }
    u64 *e = pte_of(pml4, LA + 0x80000000, 3);
    *e = 0 | PTE_P | PTE_W | PTE_PS;
    page_a[3] = 0x1234;
    check(*(volatile u64 *)(LA + 0x80000000 + (u64)&page_a[3]) == 0x1234, "1 GiB page");
    check((*e & (PTE_A | PTE_D)) == PTE_A, "accessed bit of a 1 GiB page");
    *e |= BIT64(20);
    invlpg(LA + 0x80000000);
    expect_pf(catch_fault(touch_read, (void *)(LA + 0x80000000)), PFERR_P | PFERR_RSVD, LA + 0x80000000,
              "1 GiB page with address bit 20");
    *e = 0;
    invlpg(LA + 0x80000000);
}

static void invalidation(void)
{
    volatile u64 *p = (volatile u64 *)LA;
    page_a[0] = 0xa;
    page_b[0] = 0xb;
    set(PTE_P | PTE_W);
    check_eq(*p, 0xa, "LA has the first mapping");
    *leaf = (u64)page_b | PTE_P | PTE_W;
    invlpg(LA);
    check_eq(*p, 0xb, "INVLPG shows the second mapping");
    *leaf = (u64)page_a | PTE_P | PTE_W;
    write_cr3(read_cr3());
    check_eq(*p, 0xa, "MOV to CR3 shows the first mapping again");
    write_cr4(read_cr4() | CR4_PGE);
    *leaf = (u64)page_a | PTE_P | PTE_W | PTE_G;
    invlpg(LA);
    (void)*p;
    *leaf = (u64)page_b | PTE_P | PTE_W | PTE_G;
    invlpg(LA);
    check_eq(*p, 0xb, "INVLPG works on global pages");
    *leaf = (u64)page_a | PTE_P | PTE_W | PTE_G;
    write_cr4(read_cr4() & ~CR4_PGE);
    check_eq(*p, 0xa, "clearing CR4.PGE flushes global pages");
    set(PTE_P);
    (void)*p;
    *leaf |= PTE_W;
    struct fault f = catch_fault(touch_write, (void *)LA);
    check(!f.raised || f.error == (PFERR_P | PFERR_W),
          "more permission without INVLPG: nothing worse than a spurious fault");
    u64 *upper = pte_of(pml4, LA, 2), old = *upper;
    set(PTE_P | PTE_W);
    (void)*p;
    u64 *table = page_alloc();
    table[LA >> 12 & 511] = (u64)page_b | PTE_P | PTE_W;
    *upper = (u64)table | PTE_P | PTE_W | PTE_U;
    invlpg(LA);
    check_eq(*p, 0xb, "INVLPG after an upper level changed");
    *upper = old;
    invlpg(LA);
}

static void invpcid(u64 type, u64 pcid, u64 la)
{
    struct {
        u64 pcid, la;
    } d = {pcid, la};
    __asm__ volatile("invpcid %0, %1" : : "m"(d), "r"(type) : "memory");
}

/* Two page tables, which map LA to different pages. */
static void process_context(void)
{
    if (!(cpuid(1, 0).c & BIT(17))) {
        skip("PCID", "no PCID");
        return;
    }
    bool have_invpcid = cpuid(7, 0).b & BIT(10);
    u64 *other = page_alloc();
    copy(other, pml4, 4096);
    other[LA >> 39 & 511] = 0;
    *pte_of(other, LA, 1) = (u64)page_b | PTE_P | PTE_W;
    page_a[0] = 0xa;
    page_b[0] = 0xb;
    set(PTE_P | PTE_W);
    volatile u64 *p = (volatile u64 *)LA;
    write_cr4(read_cr4() | CR4_PCIDE);
    write_cr3((u64)pml4 | 1);
    check_eq(*p, 0xa, "PCID 1");
    write_cr3((u64)other | 2);
    check_eq(*p, 0xb, "PCID 2");
    write_cr3((u64)pml4 | 1 | CR3_NOFLUSH);
    check_eq(*p, 0xa, "back to PCID 1 without a flush");
    write_cr3((u64)other | 2 | CR3_NOFLUSH);
    check_eq(*p, 0xb, "back to PCID 2 without a flush");
    *leaf = (u64)page_b | PTE_P | PTE_W; /* the entry of PCID 1, while PCID 2 is current */
    write_cr3((u64)pml4 | 1);
    check_eq(*p, 0xb, "MOV to CR3 with a flush shows the change");
    if (have_invpcid) {
        *leaf = (u64)page_a | PTE_P | PTE_W;
        invpcid(0, 1, LA);
        check_eq(*p, 0xa, "INVPCID of one address");
        *leaf = (u64)page_b | PTE_P | PTE_W;
        invpcid(1, 1, 0);
        check_eq(*p, 0xb, "INVPCID of one context");
        write_cr3((u64)other | 2 | CR3_NOFLUSH);
        *leaf = (u64)page_a | PTE_P | PTE_W;
        invpcid(2, 0, 0);
        write_cr3((u64)pml4 | 1 | CR3_NOFLUSH);
        check_eq(*p, 0xa, "INVPCID of everything");
        write_cr3((u64)other | 2 | CR3_NOFLUSH);
        *leaf = (u64)page_b | PTE_P | PTE_W;
        invpcid(3, 0, 0);
        write_cr3((u64)pml4 | 1 | CR3_NOFLUSH);
        check_eq(*p, 0xb, "INVPCID of everything but global pages");
    } else {
        skip("INVPCID", "no INVPCID");
    }
    write_cr3((u64)pml4);
    write_cr4(read_cr4() & ~CR4_PCIDE);
    set(PTE_P | PTE_W);
    check_eq(*p, 0xa, "CR4.PCIDE off again");
}

/* clang-format off */
static void write_crossing(void *p) { *(volatile u64 *)p = 0x1122334455667788; }
static void read_crossing(void *p) { (void)*(volatile u64 *)p; }
/* clang-format on */

static void crossings(void)
{
    u64 end = LA + 4096;
    set(PTE_P | PTE_W);
    map_page(end, (u64)page_b, 0);
    page_a[511] = 0;
    expect_pf(catch_fault(write_crossing, (void *)(end - 4)), PFERR_W, end, "write that crosses into a missing page");
    check_eq(page_a[511], 0, "a write that crosses into a missing page writes nothing");
    expect_pf(catch_fault(read_crossing, (void *)(end - 4)), 0, end, "read that crosses into a missing page");
    map_page(end, (u64)page_b, PTE_P | PTE_W);
    page_b[0] = 0;
    write_crossing((void *)(end - 4));
    check(page_a[511] == 0x5566778800000000 && page_b[0] == 0x11223344, "write that crosses between two frames");
    /* 48 b8 imm64 c3: an instruction over the page end. */
    u8 *code = (u8 *)page_a + 4096 - 5;
    static const u8 mov[] = {0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8, 0xc3};
    copy(code, mov, 5);
    copy(page_b, mov + 5, 6);
    u64 (*fn)(void) = (u64(*)(void))(end - 5);
    check_eq(fn(), 0x0807060504030201, "fetch that crosses between two frames");
    map_page(end, (u64)page_b, 0);
    struct fault f = catch_fault(touch_call, (void *)(end - 5));
    expect_pf(f, f.error & PFERR_I, end, "fetch that crosses into a missing page");
    check_eq(f.rip, end - 5, "#PF of a fetch over the page end has RIP at the instruction");
}

static void push_there(void *p)
{
    __asm__ volatile("mov %%rsp, %%rbx; mov %0, %%rsp; push %%rax; mov %%rbx, %%rsp" : : "r"(p) : "rbx", "memory");
}

static void canonical(void)
{
    struct fault f = catch_fault(touch_read, (void *)0x800000000000);
    check(f.raised && f.vector == EXC_GP && f.error == 0, "non-canonical read is #GP(0)");
    idt[EXC_SS].ist = 1; /* the handler cannot push there either */
    f = catch_fault(push_there, (void *)0x800000000100);
    idt[EXC_SS].ist = 0;
    check(f.raised && f.vector == EXC_SS && f.error == 0, "non-canonical push is #SS(0)");
    f = catch_fault(touch_call, (void *)0x800000000000);
    check(f.raised && f.vector == EXC_GP && f.error == 0, "non-canonical call is #GP(0)");
}

static void wrpkru(u32 v)
{
    __asm__ volatile("wrpkru" : : "a"(v), "c"(0), "d"(0) : "memory");
}

static void protection_keys(void)
{
    if (!(cpuid(7, 0).c & BIT(3))) {
        skip("protection keys", "no PKU");
        return;
    }
    write_cr4(read_cr4() | CR4_PKE);
    set(PTE_P | PTE_W | PTE_U | 5ull << 59);
    wrpkru(1u << 10);
    expect_pf(catch_user(user_read, (void *)LA), PFERR_P | PFERR_U | PFERR_PK, LA, "access-disable key");
    wrpkru(2u << 10);
    check(!catch_user(user_read, (void *)LA).raised, "write-disable key lets reads pass");
    expect_pf(catch_user(user_write, (void *)LA), PFERR_P | PFERR_U | PFERR_W | PFERR_PK, LA, "write-disable key");
    wrpkru(0);
    check(!catch_user(user_write, (void *)LA).raised, "PKRU 0 permits all");
    write_cr4(read_cr4() & ~CR4_PKE);
}

int main(void)
{
    users_fit();
    page_a = page_alloc();
    page_b = page_alloc();
    leaf = pte_of(pml4, LA, 1);
    pml4[LA >> 39 & 511] |= PTE_U;
    check(!catch_user(user_nothing, NULL).raised, "CPL 3 and back");
    protection();
    execute_disable();
    supervisor_mode();
    reserved_bits();
    accessed_dirty();
    huge_page();
    invalidation();
    process_context();
    crossings();
    canonical();
    protection_keys();
    return 0;
}
