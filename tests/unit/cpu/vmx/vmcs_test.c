/* The VMCS field table: unique encodings and members, widths as the encodings say, look-up, high halves. */
#include "cpu/vmx/vmx.h"
#include "unit/test.h"

#include <string.h>

static void test_table(void)
{
    static const u8 sizes[] = {[VMCS_WIDTH_16] = 2, [VMCS_WIDTH_64] = 8, [VMCS_WIDTH_32] = 4, [VMCS_WIDTH_NATURAL] = 8};
    static u8 taken[sizeof(struct vmcs)];
    TEST("each field: width, look-up, no overlap");
    for (unsigned i = 0; i < vmcs_field_count; i++) {
        const struct vmcs_field *f = &vmcs_fields[i];
        u16 offset = 0;
        u8 size = 0;
        bool high = true;
        CHECK_EQ(f->size, sizes[VMCS_WIDTH(f->encoding)]);
        CHECK(!(f->encoding & VMCS_HIGH));
        CHECK(vmcs_find(f->encoding, &offset, &size, &high));
        CHECK_EQ(offset, f->offset);
        CHECK_EQ(size, f->size);
        CHECK(!high);
        CHECK_EQ(vmcs_find(f->encoding | VMCS_HIGH, &offset, &size, &high), VMCS_WIDTH(f->encoding) == VMCS_WIDTH_64);
        for (unsigned b = 0; b < f->size; b++)
            CHECK(!taken[f->offset + b]++);
        for (unsigned j = 0; j < i; j++)
            CHECK(vmcs_fields[j].encoding != f->encoding);
    }
}

static void test_all_encodings(void)
{
    TEST("no encoding outside the table is found");
    unsigned found = 0, with_high = 0;
    for (u32 e = 0; e < 0x20000; e++) {
        u16 offset;
        u8 size;
        bool high;
        if (!vmcs_find(e, &offset, &size, &high))
            continue;
        found++;
        with_high += high;
    }
    CHECK_EQ(found, vmcs_field_count + with_high);
    u16 offset;
    u8 size;
    bool high;
    CHECK(!vmcs_find(0x681eull | 1ull << 32, &offset, &size, &high));
}

static void test_enum(void)
{
    TEST("IA32_VMX_VMCS_ENUM is the highest index");
    static struct vmx x;
    static const struct cpu_features features;
    static struct vm vm = {.features = &features};
    static struct vcpu v = {.vm = &vm, .vmx = &x};
    x.caps = &vmx_offered;
    u32 top = 0;
    for (unsigned i = 0; i < vmcs_field_count; i++)
        top = VMCS_INDEX(vmcs_fields[i].encoding) > top ? VMCS_INDEX(vmcs_fields[i].encoding) : top;
    u64 value = 0;
    enum outcome out;
    CHECK(vmx_msr_read(&v, MSR_VMX_VMCS_ENUM, &value, &out));
    CHECK_EQ(value, top << 1);
}

static void test_access(void)
{
    TEST("get and set by width");
    struct vmcs f;
    memset(&f, 0, sizeof f);
    vmcs_set(&f, offsetof(struct vmcs, tsc_offset), 8, false, 0x1122334455667788);
    vmcs_set(&f, offsetof(struct vmcs, tsc_offset), 8, true, 0xaabbccdd);
    CHECK_EQ(f.tsc_offset, 0xaabbccdd55667788);
    CHECK_EQ(vmcs_get(&f, offsetof(struct vmcs, tsc_offset), 8, true), 0xaabbccdd);
    vmcs_set(&f, offsetof(struct vmcs, vpid), 2, false, 0x12345);
    CHECK_EQ(f.vpid, 0x2345);
    CHECK_EQ(vmcs_get(&f, offsetof(struct vmcs, vpid), 2, false), 0x2345);
}

int main(void)
{
    test_table();
    test_all_encodings();
    test_enum();
    test_access();
    return TEST_END();
}
