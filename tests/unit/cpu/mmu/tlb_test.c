/*
 * TLB contexts: empty entries hit nothing, contexts come back without refills, each invalidation does what its
 * instruction promises, and pages that must not be reached behind the MMU's back are not filled.
 */
#include <time.h>

#include "unit/guest_memory.h"
#include "unit/test.h"

static const u64 page_a = 0x7f0000403000, page_b = 0x7f0000404000, code = 0x7f0000405000;

/* As translated code looks: the host address, or NULL. */
static u8 *hit(u64 la, unsigned size, bool write)
{
    const struct tlb *t = v->tlb;
    u32 i = (u32)((la & v->tlb_mask) >> PAGE_SHIFT);
    u64 offset = (write ? t->wtag[i] : t->rtag[i]) + la + size - 1;
    return offset >> PAGE_SHIFT ? NULL : (u8 *)((write ? t->wadd[i] : t->radd[i]) + la);
}

/* The same for the victim TLB. */
static u8 *aside(u64 la, bool write)
{
    const struct tlb *t = v->tlb;
    u64 k, offset;
    __asm__("pext %2, %1, %0" : "=r"(k) : "r"(la), "r"(v->victim_mask));
    CHECK_EQ(k, victim_index(la));
    offset = (write ? t->vwtag[k] : t->vrtag[k]) + la;
    return offset >> PAGE_SHIFT ? NULL : (u8 *)((write ? t->vwadd[k] : t->vradd[k]) + la);
}

static bool fill(u64 la, enum access access)
{
    bool filled = false;
    CHECK(mmu_fill(v, la, access, &filled) == CPU_OK);
    return filled;
}

/* The guest-physical address of a store that the TLB may not serve. */
static u64 store_goes(u64 la)
{
    struct found f;
    bool filled = true;
    CHECK(mem_fill(v, la, 1, ACCESS_WRITE, &f, &filled) == CPU_OK && !filled);
    CHECK(f.part[0].host == ram + f.part[0].gpa.a && f.part[0].slot && !f.part[1].size);
    return f.part[0].gpa.a;
}

static bool fetch_hit(u64 la)
{
    return v->tlb->xtag[tlb_index(la)] + la < PAGE_SIZE;
}

static void jump_set(u64 la)
{
    jump_enter(v->tlb, la, ram);
}

static bool jump_hit(u64 la)
{
    return v->tlb->jtag[jump_index(la)] + la == 0;
}

static void setup(void)
{
    guest_paging(PAGING_4);
    map(page_a, 0x7000 | P | W | U);
    map(page_b, 0x8000 | P | W | U | D);
    map(code, 0x9000 | P | U);
    memset(memory->space[0].slot[0].page, 0, sizeof(u32) * (RAM_SIZE >> PAGE_SHIFT));
    mmu_flush_all(v);
}

static void empty(void)
{
    TEST("empty entries hit no address");
    setup();
    unsigned bad = 0;
    u64 x = 88172645463325252;
    for (unsigned i = 0; i < 200000; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        u64 la = i & 1 ? x : (u64)((s64)(x << 16) >> 16);
        if (i % 16 == 0)
            la = (u64)i << PAGE_SHIFT | 0xfff;
        if (i % 16 == 1)
            la = -((u64)i << PAGE_SHIFT) - 1;
        bad += hit(la, 1, false) || hit(la, 8, false) || hit(la, 64, true) || fetch_hit(la) || jump_hit(la);
    }
    CHECK_EQ(bad, 0);

    TEST("an entry hits its page only");
    CHECK(fill(page_a, ACCESS_WRITE));
    CHECK(hit(page_a, 8, true) == ram + 0x7000);
    CHECK(hit(page_a + 0xff8, 8, true) == ram + 0x7ff8);
    CHECK(!hit(page_a + 0xff9, 8, true));
    CHECK(!hit(page_a - 1, 8, true));
    CHECK(!hit(page_a ^ BIT64(63), 1, false));
    CHECK(!hit(page_a + ((u64)TLB_SIZE << PAGE_SHIFT), 1, false));
}

static void filling(void)
{
    TEST("read fills");
    setup();
    CHECK(fill(page_a, ACCESS_READ));
    CHECK(hit(page_a, 1, false) && !hit(page_a, 1, true)); /* clean: a write must set D */
    CHECK(fill(page_b, ACCESS_READ));
    CHECK(hit(page_b, 1, false) && hit(page_b, 1, true));
    CHECK(memory->space[0].slot[0].page[8] == BIT(0) && memory->space[0].slot[0].page[7] == 0);
    CHECK(fill(page_a, ACCESS_WRITE) && hit(page_a, 1, true));

    TEST("pages with translated code");
    memory->space[0].slot[0].page[8] |= RAM_CODE;
    mmu_protect(v, ram + 0x8000, PAGE_SIZE);
    CHECK(!hit(page_b, 1, true) && hit(page_b, 1, false) && hit(page_a, 1, true));
    CHECK(!fill(page_b, ACCESS_WRITE));
    CHECK(fill(page_b, ACCESS_READ) && !hit(page_b, 1, true));
    memory->space[0].slot[0].page[8] = 0;

    TEST("a store to a page with code finds its way again until the mapping changes");
    u32 *words = memory->space[0].slot[0].page;
    words[8] = words[10] = RAM_CODE;
    CHECK(store_goes(page_b + 3) == 0x8003);
    map(page_b, 0xa000 | P | W | D);
    CHECK(store_goes(page_b + 5) == 0x8005); /* as a TLB may */
    mmu_flush_page(v, 0, false, 0, page_a);
    CHECK(store_goes(page_b + 5) == 0xa005);
    map(page_b, 0x8000 | P | W | D);
    mmu_flush_all(v);
    CHECK(store_goes(page_b + 5) == 0x8005);
    CHECK(fill(page_b, ACCESS_READ) && !hit(page_b, 1, true));
    words[8] = 0;
    CHECK(fill(page_b, ACCESS_WRITE) && hit(page_b, 1, true));

    TEST("a store that the mapping forbids does not find its way");
    words[8] = RAM_CODE;
    map(page_b, 0x8000 | P);
    mmu_flush_all(v);
    v->cr0 |= CR0_WP;
    mmu_select(v);
    struct found f;
    bool filled;
    CHECK(mem_fill(v, page_b, 1, ACCESS_WRITE, &f, &filled) == CPU_FAULT);
    CHECK(mem_fill(v, page_b, 1, ACCESS_WRITE, &f, &filled) == CPU_FAULT);
    map(page_b, 0x8000 | P | W | D);
    v->cr0 &= ~CR0_WP;
    words[8] = words[10] = 0;
    mmu_flush_all(v);

    TEST("devices, ROM and the APIC");
    map(page_b, 0x80000000 | P | W);
    mmu_flush_all(v);
    CHECK(!fill(page_b, ACCESS_READ) && !fill(page_b, ACCESS_WRITE));
    map(page_b, ROM_START | P | W | D);
    CHECK(fill(page_b, ACCESS_READ) && !hit(page_b, 1, true) && !fill(page_b, ACCESS_WRITE));
    map(page_b, 0x8000 | P | W | D);
    v->apic_base = 0x8900;
    mmu_flush_all(v);
    CHECK(!fill(page_b, ACCESS_READ));
    v->apic_base = 0xfee00900;

    TEST("data breakpoints");
    setup();
    CHECK(fill(page_b, ACCESS_WRITE) && fill(page_a, ACCESS_WRITE));
    v->dr[2] = page_b + 0x10;
    v->dr7 = DR7_FIXED | BIT(4) | 1u << 24;
    mmu_select(v);
    CHECK(!hit(page_b, 1, false) && hit(page_a, 1, true));
    CHECK(!fill(page_b, ACCESS_READ));
    v->dr7 = DR7_FIXED;
    mmu_select(v);
    CHECK(fill(page_b, ACCESS_READ));

    TEST("alignment checking fills nothing");
    setup();
    v->cpl = 3;
    v->cr0 |= CR0_AM;
    v->flags |= FLAG_AC;
    CHECK(!fill(page_b, ACCESS_READ));
    v->flags &= ~FLAG_AC;
    CHECK(fill(page_b, ACCESS_READ));
}

static void contexts(void)
{
    TEST("contexts come back");
    setup();
    CHECK(fill(page_b, ACCESS_WRITE));
    v->cpl = 3;
    mmu_select(v);
    CHECK(!hit(page_b, 1, false) && fill(page_b, ACCESS_READ));
    v->cpl = 0;
    mmu_select(v);
    CHECK(hit(page_b, 1, true));
    u64 gs;
    __asm__ volatile("rdgsbase %0" : "=r"(gs));
    CHECK_EQ(gs + (u64)v + VCPU_BIAS, (u64)v->tlb);

    TEST("SMAP override is a context");
    v->cr4 |= CR4_SMAP;
    v->flags |= FLAG_AC;
    CHECK(fill(page_b, ACCESS_READ));
    v->flags &= ~FLAG_AC;
    mmu_select(v);
    CHECK(!hit(page_b, 1, false));
    bool filled;
    CHECK(mmu_fill(v, page_b, ACCESS_READ, &filled) == CPU_FAULT);

    TEST("a stale context is not filled for another privilege");
    setup();
    v->cpl = 3;
    mmu_select(v);
    const struct tlb *user = v->tlb;
    map(code, 0x9000 | P);
    v->cpl = 0; /* nobody selected yet */
    u32 x;
    CHECK(mem_read(v, code, &x, 4, ACCESS_READ) == CPU_OK);
    CHECK(user->rtag[tlb_index(code)] != -code);

    TEST("more address spaces than contexts");
    setup();
    u64 cr3 = v->cr3;
    v->cr4 |= CR4_PCIDE;
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned pcid = 0; pcid < 100; pcid++) {
            v->cr3 = cr3 | pcid;
            mmu_select(v);
            CHECK(!hit(page_b, 1, false));
            CHECK(fill(page_b, ACCESS_READ) && hit(page_b, 1, false));
        }
    }

    TEST("jump cache");
    setup();
    v->mode = MODE_64;
    mmu_select(v);
    jump_set(code + 5);
    mmu_select(v);
    CHECK(jump_hit(code + 5));
    v->mode |= MODE_STEP;
    mmu_select(v);
    CHECK(jump_hit(code + 5));
    v->mode = MODE_64 | MODE_SSE;
    mmu_select(v);
    CHECK(!jump_hit(code + 5));
    jump_set(code + 5);
    mmu_flush_jumps(v);
    CHECK(!jump_hit(code + 5));
}

static void fill_three(void)
{
    gpa_t gpa;
    mmu_select(v);
    CHECK(fill(page_a, ACCESS_WRITE) && fill(page_b, ACCESS_WRITE));
    CHECK(mmu_fetch(v, code, &gpa) == CPU_OK && gpa.a == 0x9000);
    jump_set(code + 1);
}

static bool have(u64 la)
{
    return hit(la, 1, false) || fetch_hit(la);
}

static void invalidation(void)
{
    TEST("MOV to CR3");
    setup();
    u64 cr3 = v->cr3, other = table_new();
    memcpy(ram + other, ram + cr3, PAGE_SIZE);
    fill_three();
    CHECK(have(page_a) && have(page_b) && have(code));
    mmu_flush_nonglobal(v);
    CHECK(!have(page_a) && !have(page_b) && !have(code) && !jump_hit(code + 1));
    fill_three();
    v->cr3 = other;
    mmu_flush_nonglobal(v);
    CHECK(!have(page_a));
    v->cr3 = cr3;
    mmu_select(v); /* no instruction does this without a flush; what was flushed stays so */
    CHECK(!have(page_a));

    TEST("PCIDs");
    v->cr4 |= CR4_PCIDE;
    v->cr3 = cr3 | 1;
    fill_three();
    v->cr3 = other | 2;
    fill_three();
    v->cr3 = cr3 | 1;
    mmu_select(v);
    CHECK(have(page_a));
    mmu_flush_pcid(v, 0, 2);
    CHECK(have(page_a));
    v->cr3 = other | 2;
    mmu_select(v);
    CHECK(!have(page_a));
    fill_three();
    mmu_flush_nonglobal(v);
    v->cr3 = cr3 | 1;
    mmu_select(v);
    CHECK(have(page_a));
    mmu_flush_global(v);
    CHECK(!have(page_a));

    TEST("INVLPG");
    setup();
    fill_three();
    mmu_flush_page(v, 0, false, 0, page_a + 0x123);
    CHECK(!have(page_a) && have(page_b) && have(code) && jump_hit(code + 1));
    mmu_flush_page(v, 0, false, 0, code);
    CHECK(!have(code) && have(page_b) && !jump_hit(code + 1));
    gpa_t gpa;
    const u64 ends[] = {code - 17, code - 15, code, code + PAGE_MASK, code + PAGE_SIZE};
    CHECK(mmu_fetch(v, code, &gpa) == CPU_OK);
    for (unsigned i = 0; i < ARRAY_LEN(ends); i++)
        jump_set(ends[i]);
    mmu_flush_page(v, 0, false, 0, code); /* jumps to the page, and to what may cross into it */
    for (unsigned i = 0; i < ARRAY_LEN(ends); i++)
        CHECK_EQ(jump_hit(ends[i]), i == 0 || i == 4);
    v->cpl = 3;
    mmu_select(v);
    CHECK(fill(page_b, ACCESS_READ));
    v->cpl = 0;
    mmu_select(v);
    mmu_flush_page(v, 0, false, 0, page_b); /* user entries of the same PCID too */
    v->cpl = 3;
    mmu_select(v);
    CHECK(!have(page_b));
    v->cpl = 0;
    CHECK(mmu_fetch(v, code, &gpa) == CPU_OK);
    jump_set(code + 1);
    map(code + ((u64)TLB_SIZE << PAGE_SHIFT), 0x9000 | P);
    CHECK(mmu_fetch(v, code + ((u64)TLB_SIZE << PAGE_SHIFT), &gpa) == CPU_OK);
    mmu_flush_page(v, 0, false, 0, code); /* its fetch entry was replaced, its jumps were not */
    CHECK(!jump_hit(code + 1));

    TEST("INVLPG of global pages reaches other PCIDs");
    setup();
    v->cr4 |= CR4_PCIDE;
    map(page_b, 0x8000 | P | W | D | G);
    v->cr3 |= 3;
    mmu_select(v);
    CHECK(fill(page_b, ACCESS_READ));
    v->cr3 ^= 1;
    mmu_select(v);
    mmu_flush_page(v, 0, false, 2, page_b);
    v->cr3 ^= 1;
    mmu_select(v);
    CHECK(!have(page_b));

    TEST("INVLPG within a large page");
    setup();
    u64 large = page_a + BIT64(30);
    entry_set(large, 2, 0x800000 | P | W | D | PS);
    CHECK(fill(large, ACCESS_READ) && fill(large + 0x5000, ACCESS_WRITE) && fill(page_b, ACCESS_WRITE));
    CHECK(mmu_fetch(v, large + 0x6000, &gpa) == CPU_OK);
    mmu_flush_page(v, 0, false, 0, page_a); /* small page elsewhere */
    CHECK(have(large) && have(large + 0x5000));
    mmu_flush_page(v, 0, false, 0, (large & ~0x1fffffull) + 0x10000);
    CHECK(!have(large) && !have(large + 0x5000) && !have(large + 0x6000) && have(page_b));
    u64 huge = page_a + 2 * BIT64(30);
    entry_set(huge, 3, P | W | D | PS);
    CHECK(fill(huge & ~0x3fffffffull, ACCESS_READ));
    mmu_flush_page(v, 0, false, 0, huge | 0x3fffffff);
    CHECK(!have(huge & ~0x3fffffffull) && have(page_b));

    TEST("spaces");
    setup();
    CHECK(fill(page_b, ACCESS_READ));
    mmu_set_stage2(v, STAGE2_NONE, 0, 7);
    mmu_select(v);
    CHECK(!have(page_b) && fill(page_b, ACCESS_READ));
    mmu_flush_space(v, 0);
    CHECK(have(page_b));
    mmu_flush_page(v, 7, true, 0, page_b);
    CHECK(!have(page_b));
    mmu_set_stage2(v, STAGE2_NONE, 0, 0);
    mmu_select(v);
    CHECK(!have(page_b));

    TEST("flush of many entries");
    setup();
    for (unsigned i = 0; i < 200; i++) {
        map(page_a + BIT64(21) + i * PAGE_SIZE, 0x8000 | P);
        CHECK(fill(page_a + BIT64(21) + i * PAGE_SIZE, ACCESS_READ));
    }
    mmu_flush_global(v);
    unsigned left = 0;
    for (unsigned i = 0; i < 200; i++)
        left += have(page_a + BIT64(21) + i * PAGE_SIZE);
    CHECK_EQ(left, 0);
}

/* Pages that have one index. */
static void victims(void)
{
    const u64 far = page_a + 3 * ((u64)TLB_SIZE << PAGE_SHIFT), farther = far + 8 * ((u64)TLB_SIZE << PAGE_SHIFT);
    TEST("empty entries of the victim TLB hit no address");
    setup();
    v->tlb->victims = true; /* emptied whole when the context is made again */
    mmu_flush_all(v);
    unsigned bad = 0;
    for (u64 i = 0; i < 200000; i++)
        bad +=
            aside(i << PAGE_SHIFT, false) || aside((i << PAGE_SHIFT) + 0xfff, true) || aside(-(i << PAGE_SHIFT), true);
    CHECK_EQ(bad, 0);

    TEST("a page whose entry is taken is put aside, and comes back in exchange");
    setup();
    map(page_a, 0x7000 | P | W | D | A);
    map(far, 0x9000 | P | W | D | A);
    CHECK(fill(page_a, ACCESS_READ) && hit(page_a, 1, false) && hit(page_a, 1, true));
    CHECK(fill(far, ACCESS_READ) && hit(far, 1, false) == ram + 0x9000 && !hit(page_a, 1, false));
    CHECK(aside(page_a + 5, false) == ram + 0x7005 && hit(page_a, 1, true)); /* a read takes no entry for writing */
    CHECK(fill(far, ACCESS_WRITE) && hit(far, 1, true) == ram + 0x9000 && aside(page_a, true) == ram + 0x7000);
    CHECK(fill(page_a, ACCESS_READ) && hit(page_a, 1, false) == ram + 0x7000 && aside(far, false) == ram + 0x9000);
    CHECK(!aside(page_a, false) && aside(page_a, true) == ram + 0x7000);
    CHECK(fill(page_a, ACCESS_WRITE) && hit(page_a, 1, true) == ram + 0x7000 && aside(far, true) == ram + 0x9000);

    TEST("three of them");
    map(farther, 0xb000 | P | W | D | A);
    CHECK(fill(farther, ACCESS_READ) && hit(farther, 1, false) == ram + 0xb000);
    CHECK(aside(page_a, false) == ram + 0x7000 && aside(far, false) == ram + 0x9000);

    TEST("INVLPG reaches them");
    mmu_flush_page(v, 0, false, 0, far);
    CHECK(aside(page_a, false) && !aside(far, false) && !aside(far, true) && hit(farther, 1, false));
    map(far, 0x8000 | P | W | D | A);
    CHECK(fill(far, ACCESS_READ) && hit(far, 1, false) == ram + 0x8000 && aside(farther, false));

    TEST("so does whoever takes write mappings away");
    setup();
    map(page_a, 0x7000 | P | W | D | A);
    map(far, 0x9000 | P | W | D | A);
    CHECK(fill(page_a, ACCESS_WRITE) && fill(far, ACCESS_WRITE) && aside(page_a, true));
    mmu_protect(v, ram + 0x9000, PAGE_SIZE);
    CHECK(aside(page_a, true) && !hit(far, 1, true));
    mmu_protect(v, ram + 0x7000, PAGE_SIZE);
    CHECK(!aside(page_a, true));

    TEST("and a flush");
    CHECK(fill(page_a, ACCESS_READ) && fill(far, ACCESS_READ) && aside(page_a, false));
    mmu_flush_all(v);
    CHECK(!hit(far, 1, false) && !aside(page_a, false));
    CHECK(fill(far, ACCESS_READ) && !aside(page_a, false));
}

static bool hit_in(const struct tlb *t, u64 la)
{
    return t->rtag[tlb_index(la)] == -la;
}

/* Loads CR3 with another table of the same contents, as an instruction does. */
static void cr3_load(u64 cr3)
{
    v->cr3 = cr3;
    mmu_flush_nonglobal(v);
    mmu_select(v);
}

static void sharing(void)
{
    const u64 kernel = 0xffffffff81000000, text = kernel + PAGE_SIZE, local = kernel + 2 * PAGE_SIZE;
    gpa_t gpa;
    TEST("global pages of supervisor mode, and jumps to them, stay over MOV to CR3");
    setup();
    v->cr4 |= CR4_SMAP;
    map(kernel, 0xa000 | P | W | D | G);
    map(text, 0xb000 | P | G);
    map(local, 0xc000 | P | W | D);
    u64 cr3 = v->cr3, other = table_new();
    memcpy(ram + other, ram + cr3, PAGE_SIZE);
    mmu_flush_all(v);
    CHECK(fill(kernel, ACCESS_WRITE) && mmu_fetch(v, text, &gpa) == CPU_OK);
    jump_set(text + 1);
    struct tlb *shared = v->tlb;
    cr3_load(other);
    CHECK(v->tlb == shared && hit(kernel, 8, true) == ram + 0xa000 && fetch_hit(text) && jump_hit(text + 1));
    mmu_flush_pcid(v, 0, 0);
    CHECK(v->tlb == shared && hit(kernel, 8, false));

    TEST("until INVLPG, and a flush of all of them");
    mmu_flush_page(v, 0, false, 0, kernel);
    CHECK(!hit(kernel, 8, false) && fetch_hit(text));
    mmu_flush_page(v, 0, false, 0, text);
    CHECK(!fetch_hit(text) && !jump_hit(text + 1));
    CHECK(fill(kernel, ACCESS_READ));
    mmu_flush_global(v);
    CHECK(!hit(kernel, 8, false));
    CHECK(fill(kernel, ACCESS_READ));
    v->cr4 &= ~CR4_PGE;
    mmu_flush_global(v);
    CHECK(fill(kernel, ACCESS_READ));
    cr3_load(cr3);
    CHECK(!hit(kernel, 8, false));

    TEST("an address space with a page that is not global has a context of its own");
    v->cr4 |= CR4_PGE;
    mmu_flush_global(v);
    CHECK(fill(kernel, ACCESS_READ));
    shared = v->tlb;
    CHECK(fill(local, ACCESS_WRITE) && v->tlb != shared && hit(local, 8, true) == ram + 0xc000);
    u64 gs;
    __asm__ volatile("rdgsbase %0" : "=r"(gs));
    CHECK_EQ(gs + (u64)v + VCPU_BIAS, (u64)v->tlb);
    CHECK(fill(kernel, ACCESS_READ) && v->tlb != shared);
    const struct tlb *own = v->tlb;
    cr3_load(other);
    CHECK(v->tlb == shared && hit(kernel, 8, false) && !hit(local, 8, false));
    cr3_load(cr3);
    CHECK(v->tlb == shared && !hit(local, 8, false));
    CHECK(mmu_fetch(v, local, &gpa) == CPU_OK && v->tlb != shared && fetch_hit(local) && !hit(kernel, 8, false));
    CHECK(own->shared == false && v->tlb->shared == false);
    mmu_flush_pcid(v, 0, 0);
    CHECK(v->tlb == shared);

    TEST("each address space has its own contexts beside the shared one");
    v->cr4 |= CR4_PCIDE;
    mmu_flush_all(v);
    CHECK(fill(kernel, ACCESS_READ));
    shared = v->tlb;
    struct tlb *user[2], *stac[2];
    for (unsigned i = 0; i < 2; i++) {
        v->cr3 = (i ? other : cr3) | i;
        mmu_select(v);
        CHECK(v->tlb == shared && !shared->beside[BESIDE_CPL] && !shared->beside[BESIDE_STAC]);
        v->flags |= FLAG_AC;
        mmu_select(v);
        mmu_beside(v, shared);
        stac[i] = v->tlb;
        v->flags &= ~FLAG_AC;
        v->cpl = 3;
        mmu_select(v);
        user[i] = v->tlb;
        v->cpl = 0;
        mmu_select(v);
        mmu_beside(v, user[i]);
        CHECK(shared->beside[BESIDE_CPL] == user[i] && user[i]->beside[BESIDE_CPL] == shared);
        CHECK(shared->beside[BESIDE_STAC] == stac[i] && stac[i]->beside[BESIDE_CLAC] == shared);
    }
    for (unsigned i = 0; i < 4; i++) {
        bool second = i & 1;
        v->cr3 = (second ? other : cr3) | second;
        mmu_select(v);
        CHECK(shared->beside[BESIDE_CPL] == user[second] && user[second]->beside[BESIDE_CPL] == shared);
        CHECK(shared->beside[BESIDE_STAC] == stac[second] && stac[second]->beside[BESIDE_CLAC] == shared);
        CHECK(!user[!second]->beside[BESIDE_CPL] && !stac[!second]->beside[BESIDE_CLAC]);
    }

    TEST("implicit accesses of user mode find it, whichever address space it serves");
    v->cpl = 3;
    v->cr3 = cr3;
    mmu_select(v);
    CHECK(v->tlb == user[0]);
    u64 x = 0;
    CHECK(mem_read(v, kernel, &x, 8, ACCESS_READ | ACCESS_IMPLICIT) == CPU_OK);
    CHECK(hit_in(shared, kernel) && !user[0]->beside[BESIDE_CPL] && shared->beside[BESIDE_CPL] == user[1]);
    CHECK(mem_read(v, local, &x, 8, ACCESS_READ | ACCESS_IMPLICIT) == CPU_OK);
    CHECK(shared->rtag[tlb_index(local)] != -local && v->tlb == user[0]);
    v->cpl = 0;
    mmu_select(v);
    CHECK(v->tlb == shared && shared->beside[BESIDE_CPL] == user[0]);

    TEST("nothing leads to user code that is executed elsewhere, until it is translated again");
    v->cpl = 3;
    mmu_select(v);
    CHECK(v->tlb == user[0] && !mmu_user_is_away(v));
    mmu_user_away(v, true);
    CHECK(mmu_user_is_away(v) && !shared->beside[BESIDE_CPL] && !user[0]->beside[BESIDE_CPL]);
    CHECK(mem_read(v, kernel, &x, 8, ACCESS_READ | ACCESS_IMPLICIT) == CPU_OK && !user[0]->beside[BESIDE_CPL]);
    v->cpl = 0;
    mmu_select(v);
    mmu_beside(v, user[0]);
    CHECK(v->tlb == shared && !mmu_user_is_away(v) && !shared->beside[BESIDE_CPL]);
    for (unsigned i = 2; i-- > 0;) {
        v->cr3 = (i ? other : cr3) | i;
        mmu_select(v);
        CHECK(shared->beside[BESIDE_CPL] == (i ? user[1] : NULL));
    }
    v->cpl = 3;
    mmu_select(v);
    mmu_user_away(v, false);
    v->cpl = 0;
    mmu_select(v);
    mmu_beside(v, user[0]);
    CHECK(shared->beside[BESIDE_CPL] == user[0] && user[0]->beside[BESIDE_CPL] == shared);
}

static void jump_victims(void)
{
    const u64 far = code + 5 * ((u64)JUMP_SIZE << JUMP_SHIFT);
    u64 k;
    TEST("jumps that share an entry: one of them is put aside, and comes back in exchange");
    setup();
    CHECK(mmu_fetch(v, code, &(gpa_t){0}) == CPU_OK);
    jump_enter(v->tlb, code, ram);
    jump_enter(v->tlb, far, ram + 1);
    __asm__("pext %2, %1, %0" : "=r"(k) : "r"(code), "r"(v->jump_victim_mask));
    CHECK(k == jump_victim_index(code) && v->tlb->jvtag[k] == -code && v->tlb->jvcode[k] == (u64)ram);
    CHECK(jump_find(v->tlb, code) == ram && v->tlb->jtag[jump_index(code)] == -code && v->tlb->jvtag[k] != -code);
    CHECK(jump_find(v->tlb, far) == ram + 1 && v->tlb->jvtag[k] == -code);

    TEST("they are dropped with their page and with the jump cache");
    mmu_flush_page(v, 0, false, 0, code);
    CHECK(!jump_find(v->tlb, code) && jump_find(v->tlb, far));
    jump_enter(v->tlb, code, ram);
    mmu_flush_jumps(v);
    CHECK(!jump_find(v->tlb, code) && !jump_find(v->tlb, far));

    TEST("empty entries fit no jump");
    unsigned bad = 0;
    for (u64 la = 0; la < BIT64(24); la++)
        bad += v->tlb->jvtag[jump_victim_index(la)] == -la;
    CHECK_EQ(bad, 0);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void speed(void)
{
    enum { ROUNDS = 200000 };
    bool filled;
    setup();
    for (unsigned i = 0; i < 256; i++)
        map(page_a + i * PAGE_SIZE, (0x8000 + i * PAGE_SIZE) | P | W | D | A);
    double t0 = seconds();
    for (unsigned i = 0; i < ROUNDS; i++)
        (void)!mmu_fill(v, page_a + (i & 255) * PAGE_SIZE, ACCESS_READ, &filled);
    double t1 = seconds();
    for (unsigned i = 0; i < ROUNDS; i++) {
        v->cpl = i & 1 ? 3 : 0;
        mmu_select(v);
    }
    double t2 = seconds();
    for (unsigned i = 0; i < ROUNDS / 20; i++) {
        (void)!mmu_fill(v, page_a, ACCESS_READ, &filled);
        mmu_flush_nonglobal(v);
    }
    double t3 = seconds();
    printf("# fill %.0f ns, context switch %.0f ns, flush and fill %.0f ns\n", (t1 - t0) * 1e9 / ROUNDS,
           (t2 - t1) * 1e9 / ROUNDS, (t3 - t2) * 1e9 / (ROUNDS / 20));
}

int main(void)
{
    guest_create(VENDOR_INTEL);
    empty();
    filling();
    contexts();
    invalidation();
    victims();
    sharing();
    jump_victims();
    speed();
    return TEST_END();
}
