/* The VMX instructions of L1: modes, operands, VMfail and its numbers, the VMCS in its region. */
#include "unit/test.h"

#include "unit/vmx_machine.h"

#define NO_FIELD 0x7ffeu

static struct vmcs *region(u64 at)
{
    return (struct vmcs *)(ram + at + VMCS_DATA_OFFSET);
}

static void revision(u64 at, u32 value)
{
    memcpy(ram + at, &value, 4);
}

static u64 flags(void)
{
    return rflags_get(v) & FLAGS_ARITH;
}

/* An instruction with a memory operand that holds `pointer`. */
static enum outcome with_pointer(insn_fn op, u64 pointer)
{
    struct insn in = plain;
    in.mem = true;
    in.seg = SEG_DS;
    in.disp = POINTER_AT;
    memcpy(ram + POINTER_AT, &pointer, 8);
    return op(v, &in);
}

static bool succeeds(insn_fn op, u64 pointer)
{
    return with_pointer(op, pointer) == CPU_OK && flags() == 0;
}

static bool fails_invalid(insn_fn op, u64 pointer)
{
    return with_pointer(op, pointer) == CPU_OK && flags() == FLAG_CF;
}

static bool fails(insn_fn op, u64 pointer, enum vmx_error error)
{
    return with_pointer(op, pointer) == CPU_OK && flags() == FLAG_ZF && x->f.insn_error == error;
}

static enum outcome access_field(u64 encoding, u64 *value, bool write)
{
    struct insn in = plain;
    in.mod = 3;
    in.reg = RAX;
    in.rm = RDX;
    v->gpr[RAX] = encoding;
    v->gpr[RDX] = *value;
    enum outcome out = write ? op_vmwrite(v, &in) : op_vmread(v, &in);
    *value = v->gpr[RDX];
    return out;
}

/* In VMX operation, with or without a current VMCS. */
static void start(bool current)
{
    machine_create();
    revision(VMXON_AT, VMCS_REVISION);
    revision(VMCS_AT, VMCS_REVISION);
    CHECK(succeeds(op_vmxon, VMXON_AT));
    if (current)
        CHECK(succeeds(op_vmptrld, VMCS_AT));
}

static void test_vmxon(void)
{
    TEST("VMX instructions without CR4.VMXE");
    machine_create();
    v->cr4 &= ~CR4_VMXE;
    CHECK_EQ(op_vmxoff(v, &plain), CPU_FAULT);
    CHECK_EQ(v->fault.vector, EXC_UD);

    TEST("VMXON: revision, twice");
    machine_create();
    CHECK(fails_invalid(op_vmxon, VMXON_AT));
    revision(VMXON_AT, VMCS_REVISION);
    CHECK(succeeds(op_vmxon, VMXON_AT));
    CHECK(fails_invalid(op_vmxon, VMXON_AT)); /* there is no current VMCS for an error number */
    revision(VMCS_AT, VMCS_REVISION);
    CHECK(succeeds(op_vmptrld, VMCS_AT));
    CHECK(fails(op_vmxon, VMXON_AT, VMERR_VMXON_IN_ROOT));

    TEST("VMXOFF, and VMCALL in root operation and outside");
    start(true);
    CHECK_EQ(op_vmcall(v, &plain), CPU_OK);
    CHECK_EQ(x->f.insn_error, VMERR_VMCALL_IN_ROOT);
    CHECK_EQ(op_vmxoff(v, &plain), CPU_OK);
    CHECK(!x->on);
    CHECK(op_vmcall(v, &plain) == CPU_FAULT && v->fault.vector == EXC_UD);
}

static void test_pointers(void)
{
    TEST("VMPTRLD, VMCLEAR: errors");
    start(false);
    CHECK(succeeds(op_vmclear, VMCS_AT));
    revision(VMCS_AT, VMCS_REVISION + 1);
    CHECK(fails_invalid(op_vmptrld, VMCS_AT));
    revision(VMCS_AT, VMCS_REVISION);
    CHECK(succeeds(op_vmptrld, VMCS_AT));
    CHECK_EQ(x->current, VMCS_AT);
    CHECK(fails(op_vmptrld, VMXON_AT, VMERR_VMPTRLD_VMXON_POINTER));
    CHECK(fails(op_vmptrld, VMCS_AT + 8, VMERR_VMPTRLD_ADDRESS));
    CHECK(fails(op_vmclear, BIT64(40), VMERR_VMCLEAR_ADDRESS));

    TEST("a VMCS survives in its region");
    start(true);
    u64 value = 0x77;
    access_field(VMCS_TSC_OFFSET, &value, true);
    revision(OTHER_VMCS_AT, VMCS_REVISION);
    CHECK(succeeds(op_vmptrld, OTHER_VMCS_AT));
    CHECK_EQ(region(VMCS_AT)->tsc_offset, 0x77);
    CHECK_EQ(x->f.tsc_offset, 0);
    CHECK(succeeds(op_vmptrld, VMCS_AT));
    CHECK_EQ(x->f.tsc_offset, 0x77);
    CHECK(succeeds(op_vmclear, VMCS_AT));
    CHECK_EQ(x->current, VMX_NO_POINTER);
}

static void test_access(void)
{
    TEST("VMREAD, VMWRITE");
    start(true);
    u64 value = 0x1122334455667788;
    CHECK_EQ(access_field(VMCS_GUEST_RIP, &value, true), CPU_OK);
    CHECK_EQ(x->f.guest_rip, 0x1122334455667788);
    value = 0;
    CHECK_EQ(access_field(VMCS_GUEST_RIP, &value, false), CPU_OK);
    CHECK_EQ(value, 0x1122334455667788);
    access_field(NO_FIELD, &value, false);
    CHECK_EQ(flags(), FLAG_ZF);
    value = 0;
    access_field(VMCS_INSN_ERROR, &value, false);
    CHECK_EQ(value, VMERR_UNSUPPORTED_FIELD);
}

static void test_invalidation(void)
{
    TEST("INVEPT: types");
    start(true);
    v->gpr[RAX] = 3;
    CHECK(fails(op_invept, 0, VMERR_INVALID_OPERAND));
    v->gpr[RAX] = 2;
    CHECK(succeeds(op_invept, 0));

    TEST("INVVPID: the VPID is not 0");
    start(true);
    v->gpr[RAX] = 1;
    CHECK(fails(op_invvpid, 0, VMERR_INVALID_OPERAND));
    CHECK(succeeds(op_invvpid, 5));
}

int main(void)
{
    test_vmxon();
    test_pointers();
    test_access();
    test_invalidation();
    return TEST_END();
}
