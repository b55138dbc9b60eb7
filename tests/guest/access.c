/*
 * Page protection against a model of it: random page-table entries, control bits and protection keys, then an access of
 * each kind. Whether it faults, with which error code, and which accessed and dirty bits it leaves must be what the
 * manual says.
 * Source: SDM vol. 3A "Paging", "Access Rights", "Page-Fault Exceptions", "Accessed and Dirty Flags".
 */
#include "runtime.h"

#define LA 0x8000000000ull
#define PHYSICAL (32ull << 20) /* a page and a large page of zeros but for one RET */
#define ROUNDS 400000u

#define PTE_51 BIT64(51)
#define PDE_13 BIT64(13)
#define KEY 1
#define PTE_KEY ((u64)KEY << 59)

enum { E_P = 1, E_W = 2, E_U = 4, E_RSVD = 8, E_I = 16, E_PK = 32 };
enum { KERNEL_READ, KERNEL_WRITE, KERNEL_FETCH, USER_READ, USER_WRITE, USER_FETCH, KINDS };

struct state {
    u64 pde, pte;
    bool pdpte_writable, wp, nxe, pke;
    u32 pkru;
    unsigned kind;
};

static u64 *pdpte, *pde, *pte;
static u64 seed = 1;

static u64 chance(void)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return seed >> 33;
}

/* clang-format off */
static void read_it(void *p) { __asm__ volatile("mov (%0), %%eax" : : "r"(p) : "rax", "memory"); }
static void write_it(void *p) { __asm__ volatile("movb $0, 64(%0)" : : "r"(p) : "memory"); }
static void fetch_it(void *p) { __asm__ volatile("call *%0" : : "r"(p) : "memory"); }
USER_TEXT static void user_read(void *p) { __asm__ volatile("mov (%0), %%eax" : : "r"(p) : "rax", "memory"); }
USER_TEXT static void user_write(void *p) { __asm__ volatile("movb $0, 64(%0)" : : "r"(p) : "memory"); }
USER_TEXT static void user_fetch(void *p) { __asm__ volatile("call *%0" : : "r"(p) : "memory"); }
/* clang-format on */

/* Returns the error code of the access, or -1 if it does not fault. Sets the accessed and dirty bits in the entries. */
static int model(struct state *s, unsigned kind)
{
    bool user = kind >= USER_READ, write = kind % 3 == KERNEL_WRITE, fetch = kind % 3 == KERNEL_FETCH;
    int error = (user ? E_U : 0) | (write ? E_W : 0) | (fetch && s->nxe ? E_I : 0);
    u64 reserved = PTE_51 | (s->nxe ? 0 : PTE_NX);
    if (!(s->pde & PTE_P))
        return error;
    error |= E_P;
    bool large = s->pde & PTE_PS;
    if (s->pde & (reserved | (large ? PDE_13 : 0)))
        return error | E_RSVD;
    u64 all = s->pde, any = s->pde, *leaf = &s->pde;
    if (!large) {
        if (!(s->pte & PTE_P))
            return error & ~E_P;
        if (s->pte & reserved)
            return error | E_RSVD;
        all &= s->pte, any |= s->pte, leaf = &s->pte;
    }
    bool writable = all & PTE_W && s->pdpte_writable, forced = !user && !s->wp;
    bool bad = (user && !(all & PTE_U)) || (write && !writable && !forced) || (fetch && any & PTE_NX);
    if (s->pke && all & PTE_U && !fetch && *leaf & PTE_KEY) {
        u32 rights = s->pkru >> KEY * 2;
        if (rights & 1 || (rights & 2 && write && !forced))
            error |= E_PK, bad = true;
    }
    if (bad)
        return error;
    s->pde |= PTE_A;
    *leaf |= PTE_A | (write ? PTE_D : 0);
    return -1;
}

static void control_set(const struct state *s)
{
    u64 cr0 = s->wp ? read_cr0() | CR0_WP : read_cr0() & ~CR0_WP;
    u64 efer = s->nxe ? rdmsr(0xc0000080) | EFER_NXE : rdmsr(0xc0000080) & ~EFER_NXE;
    write_cr0(cr0);
    wrmsr(0xc0000080, efer);
    write_cr4(s->pke ? read_cr4() | CR4_PKE : read_cr4() & ~CR4_PKE);
}

static u64 choose(u64 bits, u64 rare)
{
    u64 value = 0;
    for (unsigned i = 0; i < 64; i++)
        if (bits >> i & 1 && chance() & 1)
            value |= BIT64(i);
    if (chance() % 8)
        value |= PTE_P;
    for (unsigned i = 0; i < 64; i++)
        if (rare >> i & 1 && chance() % 16 == 0)
            value |= BIT64(i);
    return value;
}

static struct fault access_do(unsigned kind)
{
    static void (*const fn[KINDS])(void *) = {read_it, write_it, fetch_it, user_read, user_write, user_fetch};
    return kind < USER_READ ? catch_fault(fn[kind], (void *)LA) : catch_user(fn[kind], (void *)LA);
}

static bool access_is_right(struct state *s, unsigned kind)
{
    int should = model(s, kind);
    struct fault f = access_do(kind);
    return f.raised == (should >= 0) && (!f.raised || (int)f.error == should);
}

static bool try_one(struct state *s)
{
    const u64 bits = PTE_W | PTE_U | PTE_A | PTE_D | PTE_KEY;
    s->pde = choose(bits | PTE_PS, PTE_51 | PTE_NX);
    if (s->pde & PTE_PS && chance() % 16 == 0)
        s->pde |= PDE_13;
    s->pte = choose(bits, PTE_51 | PTE_NX);
    s->pdpte_writable = chance() % 4;
    s->pkru = (u32)(chance() & 3) << KEY * 2;
    s->kind = (unsigned)(chance() % KINDS);
    u64 table = (u64)pte & ~0xfffull;
    s->pde |= s->pde & PTE_PS ? PHYSICAL : table;
    s->pte |= PHYSICAL;
    *pdpte = ((u64)pde & ~0xfffull) | PTE_P | PTE_U | PTE_A | (s->pdpte_writable ? PTE_W : 0);
    *pde = s->pde;
    *pte = s->pte;
    invlpg(LA);
    if (s->pke)
        __asm__ volatile("wrpkru" : : "a"(s->pkru), "c"(0), "d"(0));

    *(volatile u8 *)PHYSICAL = 0xc3;
    bool twice = chance() & 1;
    if (twice) {
        if (!access_is_right(s, (unsigned)(chance() % KINDS)))
            return false;
        s->pde = (s->pde & ~PTE_A) | (*pde & PTE_A); /* a walk that faults later may have set it */
    }
    int should = model(s, s->kind);
    struct fault f = access_do(s->kind);
    if (f.raised != (should >= 0))
        return false;
    if (f.raised && (f.vector != EXC_PF || (int)f.error != should || (f.cr2 & ~0xfffull) != LA))
        return false;
    u64 ignored = f.raised && !(s->pde & PTE_PS) ? PTE_A : 0;
    return (*pde & ~ignored) == (s->pde & ~ignored) && *pte == s->pte;
}

int main(void)
{
    bool pku = cpuid(7, 0).c & BIT(3);
    users_fit();
    pte = pte_of(pml4, LA, 1);
    pde = pte_of(pml4, LA, 2);
    pdpte = pte_of(pml4, LA, 3);
    unsigned wrong = 0;
    for (unsigned i = 0; i < 8; i++) {
        struct state s = {.wp = i & 1, .nxe = i & 2, .pke = i & 4};
        if (s.pke && !pku)
            continue;
        control_set(&s);
        for (unsigned n = 0; n < ROUNDS / 8; n++) {
            if (try_one(&s))
                continue;
            if (wrong++ < 5) {
                print("# kind ");
                print_hex(s.kind);
                print(" control ");
                print_hex(i);
                print(" pkru ");
                print_hex(s.pkru);
                print(" pde ");
                print_hex(s.pde);
                print(" is ");
                print_hex(*pde);
                print(" pte ");
                print_hex(s.pte);
                print(" is ");
                print_hex(*pte);
                print("\n");
            }
        }
    }
    check_eq(wrong, 0, "random accesses do what the model says");
    return 0;
}
