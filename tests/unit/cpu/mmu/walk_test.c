/*
 * Walks: translations in every paging mode, the permission matrix against a restatement of the manual, accessed and
 * dirty bits, error codes, reserved bits, and two-dimensional walks over EPT.
 */
#include "cpu/vmx/ept.h"
#include "unit/guest_memory.h"
#include "unit/test.h"

static u64 translated(u64 la, enum access access)
{
    enum outcome out;
    u64 gpa = where(la, access, &out);
    return out == CPU_OK ? gpa : ~0ull;
}

/* Returns the page fault's error code, or ~0 without a fault. */
static u32 error_of(u64 la, enum access access)
{
    enum outcome out;
    where(la, access, &out);
    if (out != CPU_FAULT)
        return ~0u;
    CHECK_EQ(v->fault.vector, EXC_PF);
    CHECK_EQ(v->fault.payload, la);
    return v->fault.error;
}

static void translations(void)
{
    TEST("no paging");
    guest_paging(PAGING_NONE);
    CHECK_EQ(translated(0x12345, ACCESS_WRITE), 0x12345);
    CHECK_EQ(translated(0x100012345, ACCESS_READ), 0x12345);

    static const struct {
        enum paging kind;
        const char *name;
        u64 la;
        unsigned large, huge; /* levels of large pages */
    } modes[] = {
        {PAGING_32, "32-bit paging", 0xc0403000, 2, 0},
        {PAGING_PAE, "PAE paging", 0xc0403000, 2, 0},
        {PAGING_4, "4-level paging", 0xffff888000403000, 2, 3},
        {PAGING_5, "5-level paging", 0xff11000000403000, 2, 3},
    };
    for (unsigned i = 0; i < ARRAY_LEN(modes); i++) {
        TEST(modes[i].name);
        u64 la = modes[i].la;
        guest_paging(modes[i].kind);
        CHECK_EQ(error_of(la, ACCESS_READ), 0);
        map(la, 0x7000 | P | W | U);
        CHECK_EQ(translated(la | 0xabc, ACCESS_READ), 0x7abc);
        CHECK_EQ(translated(la | 0xabc, ACCESS_FETCH), 0x7abc);
        u64 region = BIT64(level_shift(2));
        entry_set(la + region, 2, 0x800000 | P | W | PS);
        CHECK_EQ(translated(la + region, ACCESS_WRITE), 0x800000 | ((la + region) & (region - 1)));
        if (modes[i].huge) {
            u64 far = la + BIT64(30);
            entry_set(far, 3, 0x40000000 | P | W | PS);
            CHECK_EQ(translated(far + 0x123456, ACCESS_WRITE), 0x40000000 | ((far + 0x123456) & 0x3fffffff));
        }
    }

    TEST("canonical addresses");
    guest_paging(PAGING_4);
    enum outcome out;
    where(0x0000800000000000, ACCESS_READ, &out);
    CHECK(out == CPU_FAULT && v->fault.vector == EXC_GP && v->fault.error == 0);
    CHECK(mem_canonical(v, 0x00007ffffffffffc, 8, true) == CPU_FAULT && v->fault.vector == EXC_SS);
    CHECK(mem_canonical(v, 0x00007ffffffffff8, 8, true) == CPU_OK);

    TEST("PSE-36");
    guest_paging(PAGING_32);
    entry_set(0x400000, 2, P | W | PS | 0x5ull << 13 | 0x400000);
    CHECK_EQ(translated(0x400010, ACCESS_READ), 0x500400010);
    entry_set(0x400000, 2, P | W | PS | BIT64(21));
    CHECK_EQ(error_of(0x400000, ACCESS_READ), PFERR_P | PFERR_RSVD);
    vm.phys_bits = 36;
    entry_set(0x400000, 2, P | W | PS | BIT64(17));
    CHECK_EQ(error_of(0x400000, ACCESS_READ), PFERR_P | PFERR_RSVD);
    vm.phys_bits = 40;
    CHECK_EQ(translated(0x400000, ACCESS_READ), 0x1000000000);
    v->cr4 &= ~CR4_PSE; /* PS is ignored */
    entry_set(0x400000, 2, 0x200000 | P | W | PS);
    memset(ram + 0x200000, 0, PAGE_SIZE);
    CHECK_EQ(error_of(0x400000, ACCESS_READ), 0);
}

/* SDM "Determination of Access Rights", restated: the error code, or 0 if the access is good. */
static u32 expected(u64 page, enum access access, bool user, unsigned rights)
{
    bool u = page & U, w = page & W, x = !(page & NX), write = access & ACCESS_WRITE, fetch = access & ACCESS_FETCH;
    bool wp = v->cr0 & CR0_WP, smep = v->cr4 & CR4_SMEP, smap = v->cr4 & CR4_SMAP;
    bool override = v->flags & FLAG_AC && !(access & ACCESS_IMPLICIT);
    bool ok;
    u32 code = 0;
    if (!user && !u) {
        ok = fetch ? x : write ? w || !wp : true;
    } else if (!user) {
        ok = fetch ? x && !smep : (!smap || override) && (!write || w || !wp);
    } else {
        ok = u && (fetch ? x : !write || w);
    }
    bool key = false;
    if (u && !fetch && v->cr4 & CR4_PKE)
        key = rights & 1 || (rights & 2 && write && (user || wp));
    if (ok && !key)
        return 0;
    code = PFERR_P | (write ? PFERR_W : 0) | (user ? PFERR_U : 0) | (fetch ? PFERR_I : 0) | (key ? PFERR_PK : 0);
    return code;
}

static void permissions(void)
{
    static const enum access accesses[] = {ACCESS_READ, ACCESS_WRITE, ACCESS_FETCH, ACCESS_IMPLICIT,
                                           ACCESS_IMPLICIT | ACCESS_WRITE};
    const u64 la = 0x7f0000403000;
    TEST("permission matrix");
    guest_paging(PAGING_4);
    u64 upper = entry_get(la, 2);
    entry_at(la, 1);
    upper = entry_get(la, 2) & ~(U | W);
    unsigned bad = 0;
    for (unsigned page = 0; page < 64; page++) {
        /* bits 0-2 go into the PTE, 3-5 into the PDE: both must permit */
        unsigned low = page & 7, high = page >> 3;
        u64 pte = (low & 1 ? U : 0) | (low & 2 ? W : 0) | (low & 4 ? NX : 0);
        u64 pde = (high & 1 ? U : 0) | (high & 2 ? W : 0) | (high & 4 ? NX : 0);
        u64 both = (pte & pde & (U | W)) | ((pte | pde) & NX);
        entry_set(la, 2, upper | pde);
        for (unsigned mode = 0; mode < 256; mode++) {
            v->cr0 = (v->cr0 & ~CR0_WP) | (mode & 1 ? CR0_WP : 0);
            v->cr4 = (v->cr4 & ~(CR4_SMEP | CR4_SMAP | CR4_PKE)) | (mode & 2 ? CR4_SMEP : 0) |
                     (mode & 4 ? CR4_SMAP : 0) | (mode & 8 ? CR4_PKE : 0);
            v->flags = FLAG_ONE | (mode & 16 ? FLAG_AC : 0);
            v->cpl = mode & 32 ? 3 : 0;
            unsigned rights = mode >> 6;
            v->pkru = rights << 10; /* key 5 */
            for (unsigned a = 0; a < ARRAY_LEN(accesses); a++) {
                enum access access = accesses[a];
                map(la, 0x7000 | P | pte | 5ull << 59);
                bool user = v->cpl == 3 && !(access & ACCESS_IMPLICIT);
                u32 want = expected(both, access, user, rights), got = error_of(la, access);
                u64 marks = entry_get(la, 1) & (A | D);
                u64 want_marks = want ? 0 : access & ACCESS_WRITE ? A | D : A;
                if (got != (want ? want : ~0u) || marks != want_marks)
                    bad++;
            }
        }
    }
    CHECK_EQ(bad, 0);
}

static void marks(void)
{
    const u64 la = 0x403000;
    TEST("accessed and dirty bits");
    for (enum paging kind = PAGING_32; kind <= PAGING_5; kind++) {
        guest_paging(kind);
        map(la, 0x7000 | P);
        v->cr0 |= CR0_WP;
        CHECK_EQ(error_of(la, ACCESS_WRITE), PFERR_P | PFERR_W);
        for (unsigned l = 1; l <= top_level(); l++)
            CHECK(!(entry_get(la, l) & (A | D)));
        CHECK_EQ(translated(la, ACCESS_READ), 0x7000);
        for (unsigned l = 1; l <= top_level(); l++)
            CHECK((entry_get(la, l) & (A | D)) == A);
        map(la, 0x7000 | P | W);
        CHECK_EQ(translated(la, ACCESS_WRITE), 0x7000);
        CHECK((entry_get(la, 1) & (A | D)) == (A | D));
        CHECK((entry_get(la, 2) & (A | D)) == A);
        entry_set(la, 2, P | W | PS);
        CHECK_EQ(translated(la, ACCESS_WRITE), la & (BIT64(level_shift(2)) - 1));
        CHECK((entry_get(la, 2) & (A | D)) == (A | D));
    }
}

static void error_codes(void)
{
    const u64 la = 0x403000;
    TEST("error codes of absent pages");
    guest_paging(PAGING_4);
    CHECK_EQ(error_of(la, ACCESS_WRITE), PFERR_W);
    CHECK_EQ(error_of(la, ACCESS_FETCH), PFERR_I);
    v->cpl = 3;
    CHECK_EQ(error_of(la, ACCESS_WRITE), PFERR_W | PFERR_U);
    CHECK_EQ(error_of(la, ACCESS_READ | ACCESS_IMPLICIT), 0);
    v->efer &= ~EFER_NXE;
    CHECK_EQ(error_of(la, ACCESS_FETCH), PFERR_U);
    v->cr4 |= CR4_SMEP;
    CHECK_EQ(error_of(la, ACCESS_FETCH), PFERR_U | PFERR_I);
    guest_paging(PAGING_32);
    CHECK_EQ(error_of(la, ACCESS_FETCH), 0);

    TEST("reserved bits");
    const u32 rsvd = PFERR_P | PFERR_RSVD;
    guest_paging(PAGING_4);
    map(la, 0x7000 | P | W | BIT64(40));
    CHECK_EQ(error_of(la, ACCESS_READ), rsvd);
    v->cr0 &= ~CR0_WP;
    map(la, 0x7000 | P | NX);
    CHECK_EQ(error_of(la, ACCESS_WRITE), ~0u);
    v->efer &= ~EFER_NXE;
    CHECK_EQ(error_of(la, ACCESS_WRITE), rsvd | PFERR_W);
    v->efer |= EFER_NXE;
    entry_set(la, 2, P | PS | BIT64(13));
    CHECK_EQ(error_of(la, ACCESS_READ), rsvd);
    entry_set(la, 2, P | PS | BIT64(12)); /* PAT */
    CHECK_EQ(translated(la, ACCESS_READ), la & 0x1fffff);
    entry_set(la, 3, P | PS | BIT64(29));
    CHECK_EQ(error_of(la, ACCESS_READ), rsvd);
    entry_set(la, 4, entry_get(la, 4) | PS);
    CHECK_EQ(error_of(la, ACCESS_READ), rsvd);
    guest_paging(PAGING_4);
    map(la, 0x7000 | P);
    entry_set(la, 4, entry_get(la, 4) | G);
    CHECK_EQ(error_of(la, ACCESS_READ), ~0u);
    vm.vendor = VENDOR_AMD;
    CHECK_EQ(error_of(la, ACCESS_READ), rsvd);
    vm.vendor = VENDOR_INTEL;
    guest_paging(PAGING_PAE);
    map(la, 0x7000 | P | BIT64(52));
    CHECK_EQ(error_of(la, ACCESS_READ), rsvd);
    guest_paging(PAGING_4);
    map(la, 0x7000 | P | BIT64(52)); /* ignored here */
    CHECK_EQ(error_of(la, ACCESS_READ), ~0u);

    TEST("tables outside RAM read as ones");
    guest_paging(PAGING_4);
    v->cr3 = 0x80000000;
    CHECK_EQ(error_of(la, ACCESS_READ), rsvd);

    TEST("PDPTEs");
    guest_paging(PAGING_PAE);
    u64 *pdpte = (u64 *)(ram + 0x3000);
    pdpte[0] = 0x5000 | P;
    pdpte[1] = 0x1e6; /* not present: not checked */
    pdpte[2] = pdpte[3] = 0;
    CHECK(mmu_load_pdptes(v, 0x3000) == CPU_OK);
    CHECK_EQ(v->pdpte[0], 0x5000 | P);
    pdpte[0] = 0x6000 | P;
    pdpte[3] = P | W;
    CHECK(mmu_load_pdptes(v, 0x3000) == CPU_FAULT && v->fault.vector == EXC_GP);
    CHECK_EQ(v->pdpte[0], 0x5000 | P);
}

static struct stage2_fault reported;

static enum outcome report(struct vcpu *cpu, const struct stage2_fault *f)
{
    reported = *f;
    return CPU_NESTED_EXIT;
}

static const struct nested_ops recorder = {.stage2 = report, .stage2_walk = ept_walk};

#define EPT_RWX 7ull
#define EPT_MEMORY_WB (6ull << 3)
#define EPT_BASE 0x800000ull

/* L2-physical page -> L1-physical page, through tables at EPT_BASE that map one GiB. */
static u64 *ept_entry(u64 ngpa)
{
    static u64 next;
    u64 *pml4 = (u64 *)(ram + EPT_BASE), *pdpt = pml4 + 512, *pd = pdpt + 512;
    pml4[0] = (EPT_BASE + 0x1000) | EPT_RWX;
    pdpt[0] = (EPT_BASE + 0x2000) | EPT_RWX;
    u64 *e = &pd[ngpa >> 21];
    if (!*e) {
        if (!next)
            next = EPT_BASE + 0x3000;
        *e = next | EPT_RWX;
        next += PAGE_SIZE;
    }
    return (u64 *)(ram + (*e & ~0xfffull)) + (ngpa >> 12 & 0x1ff);
}

static void two_dimensions(void)
{
    const u64 la = 0x403000, eptp = EPT_BASE | 3 << 3 | 6, ad = BIT64(6), ept_d = BIT64(9);
    enum outcome out;
    TEST("EPT: 2-D walk");
    guest_paging(PAGING_4);
    v->nested = &recorder;
    v->in_guest = true;
    map(la, 0x9000 | P | W);
    for (u64 page = TABLES; page < next_table; page += PAGE_SIZE)
        *ept_entry(page) = page | EPT_RWX | EPT_MEMORY_WB;
    *ept_entry(0x9000) = 0x5000 | EPT_RWX | EPT_MEMORY_WB;
    mmu_set_stage2(v, STAGE2_EPT, eptp, 1);
    mmu_select(v);
    CHECK_EQ(where(la | 0x10, ACCESS_READ, &out), 0x5010);
    CHECK(out == CPU_OK && entry_get(la, 1) & A);

    TEST("EPT: second-stage TLB");
    *ept_entry(0x9000) = 0; /* still cached */
    CHECK_EQ(where(la, ACCESS_READ, &out), 0x5000);
    mmu_flush_space(v, 1); /* INVVPID keeps guest-physical mappings */
    CHECK_EQ(where(la, ACCESS_READ, &out), 0x5000);
    mmu_flush_nroot(v, eptp, false);
    where(la, ACCESS_READ, &out);
    CHECK(out == CPU_NESTED_EXIT);
    CHECK(reported.gpa.a == 0x9000 && reported.final && reported.la_valid && reported.la == la);
    CHECK(reported.la_flags == BIT(1) && reported.access == ACCESS_READ && !reported.misconfig);

    TEST("EPT: permissions and faults in tables");
    *ept_entry(0x9000) = 0x5000 | 1 | EPT_MEMORY_WB;
    CHECK_EQ(where(la, ACCESS_READ, &out), 0x5000);
    where(la, ACCESS_WRITE, &out);
    CHECK(out == CPU_NESTED_EXIT && reported.access == ACCESS_WRITE && reported.perms == 1);
    u64 table = entry_get(la, 2) & 0x000ffffffffff000;
    *ept_entry(table) = table | 1 | EPT_MEMORY_WB;
    map(la, 0x9000 | P | W);
    mmu_flush_nroot(v, eptp, false);
    where(la, ACCESS_READ, &out); /* the accessed bit cannot be written */
    CHECK(out == CPU_NESTED_EXIT && !reported.final && reported.access == ACCESS_WRITE);
    CHECK_EQ(reported.gpa.a & ~0xfffull, table);
    map(la, 0x9000 | P | W | A);
    CHECK_EQ(where(la, ACCESS_READ, &out), 0x5000);

    TEST("EPT: accessed and dirty flags");
    mmu_set_stage2(v, STAGE2_EPT, eptp | ad, 1);
    mmu_select(v);
    where(la, ACCESS_READ, &out); /* now a walk of the tables is a write */
    CHECK(out == CPU_NESTED_EXIT && !reported.final);
    *ept_entry(table) = table | EPT_RWX | EPT_MEMORY_WB;
    *ept_entry(0x9000) = 0x5000 | EPT_RWX | EPT_MEMORY_WB;
    CHECK_EQ(where(la, ACCESS_READ, &out), 0x5000);
    CHECK(*ept_entry(table) & ept_d);
    CHECK(!(*ept_entry(0x9000) & ept_d));
    CHECK_EQ(where(la, ACCESS_WRITE, &out), 0x5000);
    CHECK(*ept_entry(0x9000) & ept_d);

    TEST("EPT: unpaged L2");
    v->cr0 &= ~CR0_PG;
    v->efer = 0;
    mmu_select(v);
    CHECK_EQ(where(0x9008, ACCESS_FETCH, &out), 0x5008);
    where(0xa000, ACCESS_FETCH, &out);
    CHECK(out == CPU_NESTED_EXIT && reported.final && reported.la_flags == (BIT(0) | BIT(1)));
}

int main(void)
{
    guest_create(VENDOR_INTEL);
    translations();
    permissions();
    marks();
    error_codes();
    two_dimensions();
    return TEST_END();
}
