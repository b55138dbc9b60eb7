/*
 * What kernels do with their own pages, at random, against a model: global pages in the upper half of the linear
 * addresses, read and written by instructions of many kinds while their entries change, beside pages that are not
 * global, not the supervisor's, read-only, not there, or have code. docs/mapped.md says what serves them.
 */
#include "runtime.h"

#define PAGES 24 /* of memory; the model knows what is in them */
#define PLACES 64
#define ROUNDS 60000
#define LARGE 0x4000000ull /* physical, two pages of 2 MiB */

static u8 *page[PAGES];
static u8 model[PAGES][PAGE_SIZE];

/* A page of linear addresses, and the entry that maps it. */
static struct place {
    u64 la, *entry;
    bool code_run;
} place[PLACES];
static u32 places;
static bool mixed; /* other pages, too, and code */
static u64 seed = 0x243f6a8885a308d3;

static u64 random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed * 0x2545f4914f6cdd1dull >> 8;
}

static void add_places(u64 la, unsigned count)
{
    for (unsigned i = 0; i < count; i++, la += PAGE_SIZE)
        place[places++] = (struct place){.la = la, .entry = pte_of(pml4, la, 1)};
}

enum { READ, WRITE, ADD, EXCHANGE, BIT_SET, PUSH, POP, CALL, INDEXED, PAIR, KINDS };
static const char *const names[KINDS] = {"read", "write", "locked add", "exchange", "bit set",
                                         "push", "pop",   "call",       "index",    "two reads"};
static struct {
    unsigned kind, size;
    u64 la, value, result;
} op;

#define BY_SIZE(b, w, l, q)                                                                                            \
    switch (op.size) {                                                                                                 \
    case 1: b; break;                                                                                                  \
    case 2: w; break;                                                                                                  \
    case 4: l; break;                                                                                                  \
    default: q; break;                                                                                                 \
    }
#define ASM(text, ...) __asm__ volatile(text:__VA_ARGS__ : "memory", "cc")

static void perform(void *arg)
{
    u64 la = op.la, v = op.value, r = 0;
    switch (op.kind) {
    case READ:
        BY_SIZE(ASM("movzbl (%1), %k0", "=r"(r)
                    : "r"(la)),
                ASM("movzwl (%1), %k0", "=r"(r)
                    : "r"(la)),
                ASM("movl (%1), %k0", "=r"(r)
                    : "r"(la)),
                ASM("movq (%1), %0", "=r"(r)
                    : "r"(la)));
        break;
    case WRITE:
        BY_SIZE(ASM("movb %b0, (%1)",
                    : "q"(v), "r"(la)),
                ASM("movw %w0, (%1)",
                    : "r"(v), "r"(la)),
                ASM("movl %k0, (%1)",
                    : "r"(v), "r"(la)),
                ASM("movq %0, (%1)",
                    : "r"(v), "r"(la)));
        break;
    case ADD:
        BY_SIZE(ASM("lock addb %b0, (%1)",
                    : "q"(v), "r"(la)),
                ASM("lock addw %w0, (%1)",
                    : "r"(v), "r"(la)),
                ASM("lock addl %k0, (%1)",
                    : "r"(v), "r"(la)),
                ASM("lock addq %0, (%1)",
                    : "r"(v), "r"(la)));
        break;
    case EXCHANGE:
        r = v;
        BY_SIZE(ASM("xchgb %b0, (%1)", "+q"(r)
                    : "r"(la)),
                ASM("xchgw %w0, (%1)", "+r"(r)
                    : "r"(la)),
                ASM("xchgl %k0, (%1)", "+r"(r)
                    : "r"(la)),
                ASM("xchgq %0, (%1)", "+r"(r)
                    : "r"(la)));
        break;
    case BIT_SET: /* the operand is 8 bytes from la on */ ASM("btsq %0, (%1)", : "r"(v & 63), "r"(la)); break;
    case PUSH:
        __asm__ volatile("mov %%rsp, %%r15; lea 8(%1), %%rsp; push %0; mov %%rsp, %0; mov %%r15, %%rsp"
                         : "+r"(v)
                         : "r"(la)
                         : "r15", "memory");
        r = v - la; /* where RSP is */
        break;
    case POP:
        __asm__ volatile("mov %%rsp, %%r15; mov %1, %%rsp; pop %0; mov %%r15, %%rsp"
                         : "=&r"(r)
                         : "r"(la)
                         : "r15", "memory");
        break;
    case CALL: /* pushes at la, and comes back */
        __asm__ volatile(
            "mov %%rsp, %%r15; lea 8(%1), %%rsp; call 1f; jmp 2f; 1: mov $77, %k0; ret; 2: mov %%r15, %%rsp"
            : "=&r"(r)
            : "r"(la)
            : "r15", "memory");
        break;
    case INDEXED: ASM("movq 0x1000(%1,%2,4), %0", "=r"(r) : "r"(la - 0x1000 - 4 * 5000), "r"(5000ull)); break;
    default: /* one group: the second lies 4000 bytes behind */
        ASM("movq (%1), %0; addq 4000(%1), %0", "=&r"(r) : "r"(la));
    }
    op.result = r;
}

static const struct place *place_at(u64 la)
{
    for (u32 i = 0; i < places; i++)
        if (la - place[i].la < PAGE_SIZE)
            return &place[i];
    return NULL;
}

static bool with_ac;

/* Would the access fault in the page of la? Then *error is why. */
static bool faults(u64 la, bool write, u64 *error)
{
    const struct place *p = place_at(la);
    u64 e = p ? *p->entry : 0;
    *error = write ? PFERR_W : 0;
    if (!(e & PTE_P))
        return true;
    *error |= PFERR_P;
    if (write && !(e & PTE_W) && read_cr0() & CR0_WP)
        return true;
    return e & PTE_U && read_cr4() & CR4_SMAP && !with_ac;
}

static u8 *model_at(u64 la)
{
    u64 pa = *place_at(la)->entry & PTE_ADDRESS;
    for (unsigned i = 0; i < PAGES; i++)
        if ((u64)page[i] == pa)
            return &model[i][la & PAGE_MASK];
    return NULL;
}

static u64 model_read(u64 la, unsigned size)
{
    u64 v = 0;
    for (unsigned i = 0; i < size; i++)
        v |= (u64)*model_at(la + i) << (i * 8);
    return v;
}

static void model_write(u64 la, unsigned size, u64 v)
{
    for (unsigned i = 0; i < size; i++)
        *model_at(la + i) = (u8)(v >> (i * 8));
}

static u32 wrong;
static void expect(bool good, const char *what)
{
    if (good || wrong++ > 5)
        return;
    print("# ");
    print(names[op.kind]);
    print(" of ");
    print_hex(op.size);
    print(" at ");
    print_hex(op.la);
    print(": ");
    print(what);
    print("\n");
}

static void stac(void)
{
    __asm__ volatile("stac" : : : "cc");
}

static void clac(void)
{
    __asm__ volatile("clac" : : : "cc");
}

static void access_once(void)
{
    const struct place *p = &place[random() % places];
    op.kind = (unsigned)(random() % KINDS);
    op.size = op.kind < BIT_SET ? 1u << random() % 4 : 8;
    op.value = random();
    op.la = p->la + (random() % 4 ? random() % (PAGE_SIZE - 8) : PAGE_SIZE - random() % 8);
    if (op.la + 8 < op.la)
        op.la -= 64;
    bool writes = op.kind != READ && op.kind != POP && op.kind != INDEXED && op.kind != PAIR;
    u64 last = op.la + op.size - 1, error, error2 = 0, cr2 = op.la;
    bool bad = faults(op.la, writes, &error);
    if (!bad && (last ^ op.la) >> PAGE_SHIFT && (bad = faults(last, writes, &error)))
        cr2 = last & ~PAGE_MASK;
    if (!bad && op.kind == PAIR &&
        (op.la + 4007 < op.la || faults(op.la + 4000, false, &error) || faults(op.la + 4007, false, &error2)))
        return;
    struct fault f = catch_fault(perform, NULL);
    if (bad) {
        expect(f.raised && f.vector == EXC_PF && f.error == error && f.cr2 == cr2, "fault");
        if (!(f.raised && f.vector == EXC_PF && f.error == error && f.cr2 == cr2) && wrong < 6)
            show_fault(f);
        return;
    }
    expect(!f.raised, "no fault");
    if (f.raised) {
        if (wrong < 6)
            show_fault(f);
        return;
    }
    u64 before = model_read(op.la, op.size), mask = op.size == 8 ? ~0ull : BIT64(op.size * 8) - 1;
    switch (op.kind) {
    case READ:
    case POP:
    case INDEXED: expect(op.result == before, "value"); break;
    case PAIR: expect(op.result == before + model_read(op.la + 4000, 8), "sum"); break;
    case WRITE: model_write(op.la, op.size, op.value); break;
    case ADD: model_write(op.la, op.size, before + op.value); break;
    case EXCHANGE:
        expect((op.result & mask) == before, "value");
        model_write(op.la, op.size, op.value);
        break;
    case BIT_SET: model_write(op.la, 8, before | BIT64(op.value & 63)); break;
    case PUSH:
        expect(op.result == 0, "RSP");
        model_write(op.la, 8, op.value);
        break;
    default:
        expect(op.result == 77, "return");
        for (unsigned i = 0; i < 8; i++) /* an address that the model does not know */
            *model_at(op.la + i) = page[(u64)(model_at(op.la + i) - model[0]) / PAGE_SIZE][(op.la + i) & PAGE_MASK];
    }
    for (u64 la = op.la;; la = last) {
        u64 e = *place_at(la)->entry;
        const u8 *m = model_at(la), *memory = page[(u64)(m - model[0]) / PAGE_SIZE] + (la & PAGE_MASK);
        expect(*m == *memory, "memory");
        expect(e & PTE_A, "accessed bit");
        expect(!writes || e & PTE_D, "dirty bit");
        if (la == last)
            break;
    }
}

static void flush(const struct place *p, bool was_global)
{
    u64 cr4 = read_cr4();
    switch (random() % (mixed ? 8 : 4000)) {
    case 0:
        write_cr4(cr4 & ~CR4_PGE);
        write_cr4(cr4);
        break;
    case 1:
        if (!was_global) {
            write_cr3(read_cr3());
            break;
        }
        __attribute__((fallthrough));
    default: invlpg(p->la + random() % PAGE_SIZE);
    }
}

static void change_entry(void)
{
    struct place *p = &place[random() % places];
    u64 old = *p->entry, r = random(), e = (u64)page[random() % PAGES];
    e |= (r & 15 ? PTE_P : 0) | (r >> 4 & 3 ? PTE_W : 0) | (r >> 6 & 7 ? PTE_G : 0) | (r >> 9 & 15 ? 0 : PTE_U);
    if (!mixed)
        e = (e & ~PTE_U) | PTE_G;
    e |= (r >> 13 & 1 ? PTE_A : 0) | (r >> 14 & 1 ? PTE_A | PTE_D : 0);
    *p->entry = e;
    flush(p, old & PTE_G);
}

/* Code in a page with data: "mov $imm, %eax; ret", called where the page is mapped. */
static void run_code(void)
{
    const struct place *p = &place[random() % places];
    u64 error, imm = (u32)random(), at = p->la + random() % 500 * 8, code = 0xc300000000b8ull | imm << 8;
    if (faults(at, true, &error) || *p->entry & PTE_U)
        return;
    *(volatile u64 *)at = code;
    model_write(at, 8, code);
    op.la = at;
    expect(((u32(*)(void))at)() == imm, "code");
    imm = (u32)random();
    *(volatile u32 *)(at + 1) = (u32)imm;
    model_write(at + 1, 4, imm);
    expect(((u32(*)(void))at)() == imm, "code that was written");
}

static u64 large_read(u64 la)
{
    return *(volatile u64 *)la;
}

static void touch(void *p)
{
    *(volatile u64 *)p = 1;
}

static void large_pages(void)
{
    const u64 la = 0xffff900000000000ull;
    u64 *entry = pte_of(pml4, la, 2);
    *(u64 *)(LARGE + 0x12348) = 1111;
    *(u64 *)(LARGE + (2 << 20) + 0x12348) = 2222;
    *entry = LARGE | PTE_P | PTE_W | PTE_G | PTE_PS;
    invlpg(la);
    bool good = true;
    for (unsigned i = 0; i < 200; i++) {
        good &= large_read(la + 0x12348) == 1111;
        *(volatile u64 *)(la + 0x1000 * i) = i;
        good &= *(u64 *)(LARGE + 0x1000 * i) == i;
    }
    check(good && *entry & PTE_D, "a large page is read and written");
    *entry = (LARGE + (2 << 20)) | PTE_P | PTE_G | PTE_PS;
    invlpg(la + 0x1ff123); /* one address of the page is enough */
    check(large_read(la + 0x12348) == 2222, "INVLPG of a large page by another of its addresses");
    check(!(*entry & PTE_D), "a read leaves the dirty bit of a large page clear");
    struct fault f = catch_fault(touch, (void *)(la + 0x5000));
    check(f.raised && f.error == (PFERR_P | PFERR_W), "a write to a large page that is read-only");
    *entry |= PTE_W;
    invlpg(la);
    f = catch_fault(touch, (void *)(la + 0x5000));
    check(!f.raised && *entry & PTE_D && *(u64 *)(LARGE + (2 << 20) + 0x5000) == 1, "and once it may be written");
    /* A table in place of the large page, by which pages change places. */
    u64 *table = page_alloc();
    for (u64 i = 0; i < 512; i++)
        table[i] = (LARGE + (511 - i) * PAGE_SIZE) | PTE_P | PTE_W | PTE_G;
    *entry = (u64)table | PTE_P | PTE_W;
    invlpg(la);
    check(large_read(la + (511 - 100) * 0x1000ull) == 100, "a table in place of a large page");
    *entry = 0;
    invlpg(la);
    check(catch_fault(touch, (void *)la).raised, "a large page that went");
    /* Small pages become a large one and are small again, at the same memory, so most entries need no INVLPG. */
    for (u64 i = 0; i < 512; i++)
        table[i] = (LARGE + i * PAGE_SIZE) | PTE_P | PTE_W | PTE_G | PTE_A | PTE_D;
    *entry = (u64)table | PTE_P | PTE_W;
    invlpg(la);
    good = true;
    for (u64 i = 1; i <= 40; i++) {
        volatile u64 *y = (u64 *)(la + i * 0x3000), *z = (u64 *)(la + i * 0x3000 + 0x1000);
        *y = i;
        good &= *y == i;
        *entry = LARGE | PTE_P | PTE_W | PTE_G | PTE_PS | PTE_A | PTE_D;
        *z = i + 100;
        *entry = (u64)table | PTE_P | PTE_W;
        invlpg((u64)z);
        *y = i + 1000;
        good &= *z == i + 100 && *y == i + 1000 && *(u64 *)(LARGE + i * 0x3000) == i + 1000;
    }
    check(good, "small pages that were a large one meanwhile");
    *entry = 0;
    invlpg(la);
}

static u64 far_address;
static void far_read(void *p)
{
    __asm__ volatile("mov -8(%0), %%rax; mov 0x7fffffff(%0), %%rax" : : "r"(far_address) : "rax", "memory");
}

/* Addresses that no table has, some of which are addresses of the host's once something is added to them. */
static void strange_addresses(void)
{
    static const u64 bases[] = {0x0000800000000000ull, 0x00007ffffffff000ull, 0xffff7ffffffffff0ull,
                                0xffff800000000000ull, 0x4000000000000000ull, 0xc000000000000000ull,
                                0x0000000000000000ull, 0xfffffffffffff000ull, 0xffff888000000000ull - 4096};
    unsigned raised = 0, count = 0;
    for (unsigned i = 0; i < ARRAY_LEN(bases); i++) {
        for (unsigned bit = 0; bit < 64; bit++) {
            far_address = bases[i] ^ BIT64(bit);
            if (far_address < 0x100000000ull || (far_address >> 39 & 0x1ff) < 2)
                continue;
            count++;
            raised += catch_fault(far_read, NULL).raised;
        }
    }
    check_eq(raised, count, "addresses that are not mapped fault");
}

static void at_random(void)
{
    for (u32 round = 0; round < ROUNDS; round++) {
        u64 what = random() % 16;
        if (what < 3)
            change_entry();
        else if (what == 3 && mixed)
            run_code();
        else
            access_once();
        if (!(random() % 300))
            write_cr0(read_cr0() ^ CR0_WP);
        if (read_cr4() & CR4_SMAP && !(random() % 100)) {
            with_ac = !with_ac;
            with_ac ? stac() : clac();
        }
    }
}

/* Instructions whose registers translated code has elsewhere, in code that is mapped itself. */
static const u64 code_la = 0xffffffff90000000ull;
static const u8 code[] = {
    0x49, 0xbe, 0,    0,    0,    0, 0, 0, 0, 0, /* mov $data, %r14 */
    0xb1, 0x04,                                  /* mov $4, %cl */
    0x4d, 0x0f, 0xa5, 0x7e, 0x08,                /* shld %cl, %r15, 8(%r14) */
    0x49, 0x8b, 0x46, 0x10,                      /* mov 16(%r14), %rax */
    0x4c, 0x03, 0x35, 0,    0,    0, 0,          /* add data(%rip), %r14 */
    0x48, 0x03, 0x05, 8,    0,    0, 0,          /* add data(%rip), %rax */
    0xc3,
};
#define CODE_DATA 0x800
#define CODE_RIP_14 28 /* behind the instructions with RIP */
#define CODE_RIP_AX 35

static void registers_elsewhere(void)
{
    u8 *page_of_code = page_alloc();
    volatile u64 *data = (u64 *)(page_of_code + CODE_DATA);
    map_page(code_la, (u64)page_of_code, PTE_P | PTE_W | PTE_G);
    copy(page_of_code, code, sizeof code);
    u64 address = code_la + CODE_DATA;
    s32 to_14 = CODE_DATA - CODE_RIP_14, to_ax = CODE_DATA + 16 - CODE_RIP_AX;
    copy(page_of_code + 2, &address, sizeof address);
    copy(page_of_code + CODE_RIP_14 - 4, &to_14, sizeof to_14);
    copy(page_of_code + CODE_RIP_AX - 4, &to_ax, sizeof to_ax);
    bool good = true;
    for (u64 i = 0; i < 20; i++) {
        u64 rax, r14;
        data[0] = i;
        data[1] = 0x1000000000000001ull * (i + 1);
        data[2] = i * 3;
        u64 shifted = data[1] << 4 | 0xa;
        __asm__ volatile("mov $0xa5a5a5a5a5a5a5a5, %%r15; call *%2; mov %%r14, %1"
                         : "=&a"(rax), "=&r"(r14)
                         : "r"(code_la)
                         : "rcx", "r14", "r15", "memory", "cc");
        good &= data[1] == shifted && rax == i * 6 && r14 == address + i && data[0] == i;
    }
    check(good, "registers that live elsewhere, and operands by RIP");
}

/* Masked moves with an operand by RIP. */
static void masked(void)
{
    if (!(cpuid(1, 0).c & BIT(28)) || !(cpuid(1, 0).c & BIT(26))) {
        skip("masked moves", "no AVX");
        return;
    }
    static const u8 moves[] = {
        0xc5, 0xf5, 0x76, 0xc9,                   /* vpcmpeqd %ymm1, %ymm1, %ymm1 */
        0xc4, 0xe2, 0x75, 0x2c, 0x05, 0, 0, 0, 0, /* vmaskmovps from(%rip), %ymm1, %ymm0 */
        0xc4, 0xe2, 0x75, 0x2e, 0x05, 0, 0, 0, 0, /* vmaskmovps %ymm0, %ymm1, to(%rip) */
        0xc5, 0xf8, 0x77, 0xc3,                   /* vzeroupper; ret */
    };
    write_cr4(read_cr4() | CR4_OSXSAVE | CR4_OSFXSR | CR4_OSXMMEXCPT);
    __asm__ volatile("xsetbv" : : "a"(7), "d"(0), "c"(0));
    u8 *page_of_code = page_alloc();
    u64 *data = (u64 *)(page_of_code + CODE_DATA);
    map_page(code_la + PAGE_SIZE, (u64)page_of_code, PTE_P | PTE_W | PTE_G);
    copy(page_of_code, moves, sizeof moves);
    s32 from = CODE_DATA - 13, to = CODE_DATA + 64 - 22;
    copy(page_of_code + 9, &from, sizeof from);
    copy(page_of_code + 18, &to, sizeof to);
    bool good = true;
    for (u64 i = 0; i < 20; i++) {
        for (u64 k = 0; k < 4; k++)
            data[k] = i * 77 + k, data[8 + k] = 0;
        ((void (*)(void))(code_la + PAGE_SIZE))();
        for (u64 k = 0; k < 4; k++)
            good &= data[8 + k] == i * 77 + k;
    }
    check(good, "masked moves by RIP");
}

/* Runs of PUSH and POP, whose changes of RSP translated code may put together: a fault within one shows RSP as it is.
 */
#define RUN 12
static u64 run_rsp, run_after, popped[3];

static void pushes(void *arg)
{
    __asm__ volatile("mov %%rsp, %%r12; mov %2, %%rsp; mov $11, %%r11d; mov $14, %%r14d; mov $15, %%r15d\n"
                     "push %%r11; push %%r14; push %%r15; push $-7; push %%r11; push %%r12; push %%r14; push $300\n"
                     "push %%r15; push %%r11; push %%r14; push %%r15\n"
                     "mov %%rsp, %0; mov %%r12, %%rsp"
                     : "=&r"(run_after), "+m"(*(char(*)[])arg)
                     : "r"(run_rsp)
                     : "r11", "r12", "r14", "r15");
}

static void pops(void *arg)
{
    __asm__ volatile("mov %%rsp, %%r12; mov %4, %%rsp\n"
                     "pop %%rax; pop %%rcx; pop %%rdx; pop %%rsi; pop %%r11; pop %%r14; pop %%r15; pop %%r8; pop %%r9\n"
                     "pop %%rax; pop %%r10; pop %%r13; mov %%rsp, %0; mov %%r12, %%rsp\n"
                     "mov %%r11, %1; mov %%r15, %2; mov %%r13, %3"
                     : "=&r"(run_after), "=m"(popped[0]), "=m"(popped[1]), "=m"(popped[2])
                     : "r"(run_rsp), "m"(*(char(*)[])arg)
                     : "rax", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15");
}

static void runs(void)
{
    static const u64 pushed[RUN] = {15, 14, 11, 15, 300, 14, 0, 11, -7ull, 15, 14, 11}; /* by address; 0 is R12 */
    const u64 la = 0xffffc8aa00001000ull, end = la + PAGE_SIZE;
    u64 *memory = page_alloc(), *top = memory + PAGE_SIZE / 8 - RUN;
    bool good = true;
    map_page(la, (u64)memory, PTE_P | PTE_W | PTE_G);
    for (unsigned i = 0; i < 100; i++) {
        fill(memory, 0, PAGE_SIZE);
        run_rsp = end;
        good &= !catch_fault(pushes, memory).raised && run_after == end - 8 * RUN;
        for (unsigned k = 0; k < RUN; k++)
            good &= top[k] == pushed[k] || !pushed[k];
        run_rsp = end - 8 * RUN;
        good &= !catch_fault(pops, memory).raised && run_after == end;
        good &= popped[0] == 300 && popped[1] == top[6] && popped[2] == 11;
    }
    check(good, "runs of PUSH and of POP");
    good = true;
    for (unsigned i = 0; i < 20 * RUN; i++) {
        u64 room = i % RUN;
        run_rsp = la + 8 * room;
        struct fault f = catch_fault(pushes, memory);
        good &= f.raised && f.vector == EXC_PF && f.cr2 == la - 8 && f.rsp == la && f.error == PFERR_W;
        run_rsp = end - 8 * room;
        f = catch_fault(pops, memory);
        good &= f.raised && f.vector == EXC_PF && f.cr2 == end && f.rsp == end && !f.error;
    }
    check(good, "a fault in each place of a run");
}

int main(void)
{
    for (unsigned i = 0; i < PAGES; i++)
        page[i] = page_alloc();
    write_cr4(read_cr4() | CR4_PGE | (cpuid(7, 0).b & BIT(20) ? CR4_SMAP : 0));
    write_cr0(read_cr0() | CR0_WP);
    tss.ist[0] = (u64)page_alloc() + PAGE_SIZE; /* faults come while RSP is anywhere */
    idt[EXC_PF].ist = 1;
    strange_addresses();
    large_pages();
    registers_elsewhere();
    masked();
    runs();
    add_places(0xffff888000000000ull - 4 * PAGE_SIZE, 8); /* on both sides of a border between entries of the PML4 */
    add_places(0xfffffffffff00000ull, 6);
    add_places(0xffffffff81000000ull, 8);
    add_places(0xffffc90000000000ull, 3);
    at_random();
    check(!wrong, "accesses at random to a kernel's pages");
    for (u64 i = 1; i < 14; i++)
        add_places(0xffffc90000000000ull + (i << 39) + i * PAGE_SIZE, 2);
    mixed = true;
    at_random();
    check(!wrong, "accesses at random to pages of all kinds");
    bool same_pages = true;
    for (unsigned i = 0; i < PAGES; i++)
        same_pages &= same(page[i], model[i], PAGE_SIZE);
    check(same_pages, "memory is what the model has");
    return 0;
}
