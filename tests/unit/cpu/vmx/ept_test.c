/* The EPT walk: permissions, page sizes, misconfigurations, accessed and dirty flags, mode-based execute. */
#include "unit/test.h"

#include "unit/vmx_machine.h"

#define WB (MEMTYPE_WB << EPT_MEMTYPE_SHIFT)
#define RWX (EPT_R | EPT_W | EPT_X)

/* Tables at EPT_AT, a page each: level 4, level 3, level 2, level 1. */
enum { PML4, PDPT, PD, PT };

static u64 *entry(unsigned table, unsigned index)
{
    return (u64 *)(ram + EPT_AT + table * PAGE_SIZE) + index;
}

static void create(void)
{
    machine_ready();
    *entry(PML4, 0) = (EPT_AT + PAGE_SIZE) | RWX;
    *entry(PDPT, 0) = (EPT_AT + 2 * PAGE_SIZE) | RWX;
    *entry(PDPT, 1) = 0x80000000 | EPT_LEAF | WB | RWX;
    *entry(PD, 0) = (EPT_AT + 3 * PAGE_SIZE) | RWX;
    *entry(PD, 1) = 0x200000 | EPT_LEAF | WB | EPT_R | EPT_X;
    *entry(PT, 5) = 0x7000 | WB | EPT_R | EPT_W;
    *entry(PT, 6) = 0x7000 | WB | EPT_W | EPT_X;
    *entry(PT, 7) = 0x7000 | WB | EPT_X;
    *entry(PT, 8) = 0x7000 | 2 << EPT_MEMTYPE_SHIFT | RWX;
    *entry(PT, 9) = BIT64(45) | WB | RWX;
}

static struct stage2_fault fault;
static gpa_t out;
static u64 size;
static u8 perms;

static bool walks(u64 root, u64 gpa, enum access access, bool user_linear)
{
    return ept_walk(v, root, NGPA(gpa), access, user_linear, &out, &size, &perms, &fault);
}

static bool reads(u64 gpa)
{
    return walks(x->f.eptp, gpa, ACCESS_READ, false);
}

static bool writes(u64 gpa)
{
    return walks(x->f.eptp, gpa, ACCESS_WRITE, false);
}

static bool fetches(u64 gpa)
{
    return walks(x->f.eptp, gpa, ACCESS_FETCH, false);
}

static void test_permissions(void)
{
    TEST("empty tables");
    machine_ready();
    CHECK(!reads(0x5123));
    CHECK(!fault.misconfig);
    CHECK_EQ(fault.perms, 0);

    TEST("permissions of a 4 KiB page");
    create();
    CHECK(writes(0x5123));
    CHECK_EQ(out.a, 0x7123);
    CHECK_EQ(size, PAGE_SIZE);
    CHECK_EQ(perms & RWX, GRANT_READ | GRANT_WRITE);
    CHECK(!fetches(0x5123));
    CHECK_EQ(fault.perms, GRANT_READ | GRANT_WRITE);
    CHECK(fetches(0x7000));

    TEST("large pages");
    create();
    CHECK(reads(0x212345));
    CHECK_EQ(out.a, 0x212345);
    CHECK_EQ(size, 0x200000);
    CHECK(writes(0x40012345));
    CHECK_EQ(out.a, 0x80012345);
}

static void test_misconfiguration(void)
{
    TEST("misconfigurations: W without R, memory type 2, an address beyond MAXPHYADDR");
    create();
    for (u64 gpa = 0x6000; gpa <= 0x9000; gpa += 0x1000) {
        if (gpa == 0x7000)
            continue;
        CHECK(!reads(gpa));
        CHECK(fault.misconfig);
    }

    TEST("a large page that is misaligned is misconfigured");
    create();
    *entry(PDPT, 1) |= PAGE_SIZE;
    CHECK(!writes(0x40012345));
    CHECK(fault.misconfig);
}

static void test_flags(void)
{
    TEST("EPT accessed and dirty flags");
    create();
    const u64 root = x->f.eptp | EPTP_AD, both = EPT_A | EPT_D;
    CHECK(writes(0x5000));
    CHECK(!(*entry(PT, 5) & both));
    CHECK(walks(root, 0x5000, ACCESS_READ, false));
    CHECK_EQ(*entry(PT, 5) & both, EPT_A);
    CHECK_EQ(*entry(PML4, 0) & both, EPT_A);
    CHECK_EQ(perms & RWX, GRANT_READ);
    CHECK(walks(root, 0x5000, ACCESS_WRITE, false));
    CHECK_EQ(*entry(PT, 5) & both, both);
    CHECK_EQ(perms & RWX, GRANT_READ | GRANT_WRITE);
}

static void test_mode_based_execute(void)
{
    TEST("EPT mode-based execute");
    create();
    const u64 root = x->f.eptp | EPT_ROOT_MODE_BASED;
    *entry(PML4, 0) |= EPT_XU;
    *entry(PDPT, 0) |= EPT_XU;
    *entry(PD, 0) |= EPT_XU;
    *entry(PT, 5) |= EPT_XU;
    CHECK(!walks(root, 0x5000, ACCESS_FETCH, false));
    CHECK_EQ(fault.perms, GRANT_READ | GRANT_WRITE | GRANT_FETCH_USER);
    CHECK(walks(root, 0x5000, ACCESS_FETCH, true));
}

int main(void)
{
    test_permissions();
    test_misconfiguration();
    test_flags();
    test_mode_based_execute();
    return TEST_END();
}
