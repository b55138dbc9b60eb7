/*
 * Memory for C code: page crossings that change nothing when they fault, ROM, devices, the APIC's page, alignment
 * checks, data breakpoints, compare-exchange; and loads of control registers that depend on memory.
 */
#include "cpu/mmu/cr.h"
#include "unit/guest_memory.h"
#include "unit/test.h"

static const u64 page = 0x7f0000403000;

static void setup(void)
{
    guest_paging(PAGING_4);
    map(page, 0x7000 | P | W | U);
    map(page + 0x1000, 0x20000 | P | W | U);
    memset(ram + 0x7000, 0, PAGE_SIZE);
    memset(ram + 0x20000, 0, PAGE_SIZE);
    memset(memory->space[0].slot[0].page, 0, sizeof(u32) * (RAM_SIZE >> PAGE_SHIFT));
    v->trap_pending = false;
    v->trap_dr6 = 0;
    mmu_flush_all(v);
}

static void crossings(void)
{
    const u64 value = 0x1122334455667788;
    u64 got;
    TEST("sizes and page crossings");
    setup();
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned size = 1; size <= 8; size++) {
            for (u64 la = page + 0xff0; la < page + 0x1010; la++) {
                got = ~0ull;
                CHECK(mem_write(v, la, &value, size, ACCESS_WRITE) == CPU_OK);
                CHECK(mem_read(v, la, &got, size, ACCESS_READ) == CPU_OK);
                CHECK_EQ(mask_size(got, size), mask_size(value, size));
            }
        }
    }
    CHECK(ram[0x20000] && ram[0x7fff]);

    TEST("a write that faults in the second page changes nothing");
    setup();
    map(page + 0x1000, 0x20000 | P | U);
    CHECK(mem_write(v, page + 0xffc, &value, 8, ACCESS_WRITE) == CPU_FAULT);
    CHECK(v->fault.vector == EXC_PF && v->fault.payload == page + 0x1000 && v->fault.error == (PFERR_P | PFERR_W));
    u64 sum = 0;
    for (unsigned i = 0; i < 4096; i++)
        sum += ram[0x7000 + i] + ram[0x20000 + i];
    CHECK_EQ(sum, 0);
    CHECK(mem_probe(v, page + 0xffc, 8, ACCESS_WRITE) == CPU_FAULT);
    CHECK(mem_probe(v, page + 0xff8, 8, ACCESS_WRITE) == CPU_OK);

    TEST("long accesses");
    setup();
    static u8 long_value[8000], long_got[8000];
    map(page + 0x2000, 0x21000 | P | W);
    for (unsigned i = 0; i < sizeof long_value; i++)
        long_value[i] = (u8)(i * 7 + 1);
    CHECK(mem_write(v, page + 0x800, long_value, sizeof long_value, ACCESS_WRITE) == CPU_OK);
    CHECK(mem_read(v, page + 0x800, long_got, sizeof long_got, ACCESS_READ) == CPU_OK);
    CHECK(!memcmp(long_value, long_got, sizeof long_got));
    map(page + 0x2000, 0);
    mmu_flush_all(v);
    memset(ram + 0x7000, 0, PAGE_SIZE);
    CHECK(mem_write(v, page + 0x800, long_value, sizeof long_value, ACCESS_WRITE) == CPU_FAULT && !ram[0x7800]);

    TEST("addresses wrap at 4 GiB outside long mode");
    guest_paging(PAGING_NONE);
    memset(ram, 0, 16);
    got = 0x77;
    CHECK(mem_write(v, BIT64(32) + 8, &got, 1, ACCESS_WRITE) == CPU_OK);
    CHECK_EQ(ram[8], 0x77);

    TEST("non-canonical addresses");
    setup();
    CHECK(mem_read(v, 0x800000000000, &got, 8, ACCESS_READ) == CPU_FAULT && v->fault.vector == EXC_GP);
    CHECK(mem_read(v, 0x7ffffffffffc, &got, 8, ACCESS_READ) == CPU_FAULT && v->fault.vector == EXC_GP);
}

static void kinds_of_memory(void)
{
    u64 x = 0xabcd;
    void *host;
    u64 span;
    TEST("devices");
    setup();
    map(page, 0x80000000 | P | W);
    mmu_flush_all(v);
    device.reads = device.writes = 0;
    CHECK(mem_read(v, page + 0x14, &x, 4, ACCESS_READ) == CPU_OK);
    CHECK(device.reads == 1 && device.gpa == 0x80000014 && device.size == 4 && (u32)x == 0x55667788);
    CHECK(mem_write(v, page + 0x18, &x, 2, ACCESS_WRITE) == CPU_OK);
    CHECK(device.writes == 1 && device.size == 2 && device.value == 0x7788);
    CHECK(mem_write(v, page + 0xffe, &x, 4, ACCESS_WRITE) == CPU_OK); /* half device, half RAM */
    CHECK(device.writes == 2 && device.size == 2 && *(u16 *)(ram + 0x20000) == 0x5566);
    CHECK(mem_pointer(v, page, ACCESS_READ, &host, &span) == CPU_OK && !host && span == 4096);

    TEST("ROM");
    map(page, ROM_START | P | W);
    mmu_flush_all(v);
    memset(rom, 0x5a, 16);
    CHECK(mem_write(v, page, &x, 8, ACCESS_WRITE) == CPU_OK);
    CHECK(mem_read(v, page, &x, 8, ACCESS_READ) == CPU_OK && x == 0x5a5a5a5a5a5a5a5a);
    x = 0x5a5a5a5a5a5a5a5a;
    CHECK(mem_cmpxchg(v, page, &x, 1, 8, ACCESS_WRITE) == CPU_OK && rom[0] == 0x5a);

    TEST("local APIC");
    map(page, 0xfee00000 | P | W);
    mmu_flush_all(v);
    u32 tpr = 0x30;
    CHECK(mem_write(v, page + 0x80, &tpr, 4, ACCESS_WRITE) == CPU_OK);
    tpr = 0;
    CHECK(mem_read(v, page + 0x80, &tpr, 4, ACCESS_READ) == CPU_OK && tpr == 0x30);
    u8 part = 0;
    CHECK(mem_read(v, page + 0x80, &part, 1, ACCESS_READ) == CPU_OK && part == 0x30);

    TEST("pointers");
    setup();
    CHECK(mem_pointer(v, page + 0x10, ACCESS_WRITE, &host, &span) == CPU_OK && host == ram + 0x7010 && span == 0xff0);
    *ram_page_word(&memory->space[0].slot[0], GPA(0x7000)) |= RAM_CODE;
    mmu_protect(v, ram + 0x7000, PAGE_SIZE);
    CHECK(mem_pointer(v, page, ACCESS_WRITE, &host, &span) == CPU_OK && !host);
    CHECK(mem_pointer(v, page, ACCESS_READ, &host, &span) == CPU_OK && host == ram + 0x7000);
    CHECK(mem_write(v, page, &x, 8, ACCESS_WRITE) == CPU_OK && *(u64 *)(ram + 0x7000) == x);

    TEST("physical memory");
    u8 bytes[32] = {1, 2, 3}, back[32];
    phys_write(v, GPA(0x8ff0), bytes, sizeof bytes);
    phys_read(v, GPA(0x8ff0), back, sizeof back);
    CHECK(!memcmp(bytes, back, sizeof back));
    CHECK_EQ(phys_read_u64(v, GPA(0x90000000)), ~0ull);
    phys_write(v, GPA(ROM_START), bytes, 8);
    CHECK_EQ(rom[0], 0x5a);
}

static void checks(void)
{
    u64 x = 0;
    TEST("alignment checks");
    setup();
    v->cpl = 3;
    v->flags |= FLAG_AC;
    v->cr0 |= CR0_AM;
    CHECK(mem_read(v, page + 1, &x, 2, ACCESS_READ) == CPU_FAULT && v->fault.vector == EXC_AC && v->fault.error == 0);
    CHECK(mem_read(v, page + 4, &x, 8, ACCESS_READ) == CPU_FAULT);
    CHECK(mem_read(v, page + 8, &x, 8, ACCESS_READ) == CPU_OK);
    CHECK(mem_read(v, page + 1, &x, 1, ACCESS_READ) == CPU_OK);
    CHECK(mem_read(v, page + 1, &x, 8, ACCESS_READ | ACCESS_IMPLICIT) == CPU_OK);
    CHECK(mem_read(v, 0x1001, &x, 8, ACCESS_READ) == CPU_FAULT && v->fault.vector == EXC_PF);

    TEST("data breakpoints");
    static const struct {
        unsigned rw, len, at, size;
        bool write, hit;
    } rows[] = {
        {1, 0, 0, 1, true, true},   {1, 0, 0, 1, false, false}, {3, 0, 0, 1, false, true}, {3, 0, 1, 4, true, false},
        {3, 3, 3, 1, true, true},   {3, 3, 4, 1, true, false},  {1, 2, 7, 2, true, true},  {1, 2, 8, 8, true, false},
        {0, 0, 0, 1, false, false}, {2, 0, 0, 1, true, false},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        setup();
        v->dr[1] = page + 0x100;
        v->dr7 = DR7_FIXED | BIT(2) | rows[i].rw << 20 | rows[i].len << 22;
        mmu_select(v);
        u64 la = page + 0x100 + rows[i].at;
        CHECK((rows[i].write ? mem_write(v, la, &x, rows[i].size, ACCESS_WRITE)
                             : mem_read(v, la, &x, rows[i].size, ACCESS_READ)) == CPU_OK);
        CHECK(v->trap_pending == rows[i].hit && v->trap_dr6 == (rows[i].hit ? BIT64(1) : 0));
    }
    v->dr7 = DR7_FIXED;

    TEST("compare-exchange");
    setup();
    for (unsigned size = 1; size <= 8; size *= 2) {
        for (unsigned at = 0xff0; at < 0x1004; at++) {
            u64 old = 0, value = 0x8877665544332211;
            CHECK(mem_cmpxchg(v, page + at, &old, value, size, ACCESS_WRITE) == CPU_OK);
            CHECK_EQ(old, 0);
            old = 0;
            CHECK(mem_cmpxchg(v, page + at, &old, 1, size, ACCESS_WRITE) == CPU_OK);
            CHECK_EQ(old, mask_size(value, size));
            CHECK(mem_cmpxchg(v, page + at, &old, 0, size, ACCESS_WRITE) == CPU_OK);
        }
    }

    TEST("implicit accesses from CPL 3");
    setup();
    map(page, 0x7000 | P | W);
    v->cpl = 3;
    mmu_flush_all(v);
    CHECK(mem_read(v, page, &x, 8, ACCESS_READ) == CPU_FAULT);
    CHECK(mem_read(v, page, &x, 8, ACCESS_READ | ACCESS_IMPLICIT) == CPU_OK);
    CHECK(mem_read(v, page, &x, 8, ACCESS_READ) == CPU_FAULT);
    v->cpl = 0;
    mmu_select(v);
    CHECK(mem_read(v, page, &x, 8, ACCESS_READ) == CPU_OK);
    v->cpl = 3;
    mmu_select(v);
    CHECK(mem_read(v, page, &x, 8, ACCESS_READ | ACCESS_IMPLICIT) == CPU_OK);
    CHECK(mem_read(v, page, &x, 8, ACCESS_READ) == CPU_FAULT);
}

static void control_registers(void)
{
    TEST("CR0");
    guest_paging(PAGING_NONE);
    v->cr4 = CR4_PAE;
    CHECK(cr0_write(v, v->cr0 | BIT64(32)) == CPU_FAULT && v->fault.vector == EXC_GP);
    CHECK(cr0_write(v, CR0_PG) == CPU_FAULT);
    CHECK(cr0_write(v, CR0_PE | CR0_NW) == CPU_FAULT);
    CHECK(cr0_write(v, CR0_PE | BIT64(6)) == CPU_OK && v->cr0 == (CR0_PE | CR0_ET));
    v->efer = EFER_LME;
    v->cr4 = 0;
    CHECK(cr0_write(v, CR0_PE | CR0_PG) == CPU_FAULT); /* long mode needs PAE */
    v->cr4 = CR4_PAE;
    CHECK(cr0_write(v, CR0_PE | CR0_PG) == CPU_OK && v->efer == (EFER_LME | EFER_LMA));
    v->seg[SEG_CS].attr = SEG_L;
    CHECK(cr0_write(v, CR0_PE) == CPU_FAULT);
    v->seg[SEG_CS].attr = SEG_DB;
    CHECK(cr0_write(v, CR0_PE) == CPU_OK && v->efer == EFER_LME);

    TEST("CR0 and CR4 load PDPTEs");
    v->efer = 0;
    v->cr3 = 0x3000;
    u64 *pdpte = (u64 *)(ram + 0x3000);
    memset(pdpte, 0, 32);
    pdpte[0] = 0x5000 | P | W; /* reserved bit 1 */
    CHECK(cr0_write(v, CR0_PE | CR0_PG) == CPU_FAULT && !(v->cr0 & CR0_PG));
    pdpte[0] = 0x5000 | P;
    CHECK(cr0_write(v, CR0_PE | CR0_PG) == CPU_OK && v->pdpte[0] == (0x5000 | P));
    pdpte[0] = 0x6000 | P;
    CHECK(cr4_write(v, v->cr4 | CR4_DE) == CPU_OK && v->pdpte[0] == (0x5000 | P));
    CHECK(cr4_write(v, v->cr4 | CR4_PGE) == CPU_OK && v->pdpte[0] == (0x6000 | P));

    TEST("CR3");
    setup();
    CHECK(cr3_write(v, BIT64(40)) == CPU_FAULT);
    CHECK(cr3_write(v, v->cr3 | CR3_NOFLUSH) == CPU_FAULT);
    u64 cr3 = v->cr3;
    v->cr4 |= CR4_PCIDE;
    CHECK(cr3_write(v, cr3 | 5 | CR3_NOFLUSH) == CPU_OK && v->cr3 == (cr3 | 5));

    TEST("CR4");
    CHECK(cr4_write(v, v->cr4 & ~CR4_PAE) == CPU_FAULT);
    CHECK(cr4_write(v, v->cr4 ^ CR4_LA57) == CPU_FAULT);
    CHECK(cr4_write(v, v->cr4 | CR4_CET) == CPU_FAULT);
    CHECK(cr4_write(v, v->cr4 & ~CR4_PCIDE) == CPU_OK);
    CHECK(cr4_write(v, v->cr4 | CR4_PCIDE) == CPU_FAULT); /* CR3 has a PCID */
    v->cr3 = cr3;
    CHECK(cr4_write(v, v->cr4 | CR4_PCIDE) == CPU_OK);
    CHECK(cr0_write(v, v->cr0 & ~CR0_PG) == CPU_FAULT);
}

int main(void)
{
    guest_create(VENDOR_INTEL);
    crossings();
    kinds_of_memory();
    checks();
    control_registers();
    return TEST_END();
}
