/*
 * The layout of the VMCB, the form of its segment attributes, and the numbers of exit codes.
 */
#include "cpu/svm/segattr.h"
#include "cpu/svm/svm.h"
#include "unit/test.h"
#include "x86/svm_exit.h"
#include "x86/vmcb.h"

#include <stdlib.h>

/* APM volume 2, appendix "Layout of VMCB", restated. */
#define AT(member, offset) _Static_assert(offsetof(struct vmcb, member) == (offset), #member)
AT(control.intercept[1], 0x004);
AT(control.intercept[2], 0x008);
AT(control.intercept[3], 0x00c);
AT(control.intercept[4], 0x010);
AT(control.intercept[5], 0x014);
AT(control.pause_threshold, 0x03c);
AT(control.pause_count, 0x03e);
AT(control.iopm, 0x040);
AT(control.msrpm, 0x048);
AT(control.tsc_offset, 0x050);
AT(control.asid, 0x058);
AT(control.tlb_control, 0x05c);
AT(control.vintr, 0x060);
AT(control.interrupt_shadow, 0x068);
AT(control.exit_code, 0x070);
AT(control.exit_info1, 0x078);
AT(control.exit_info2, 0x080);
AT(control.exit_int_info, 0x088);
AT(control.nested, 0x090);
AT(control.event_inject, 0x0a8);
AT(control.ncr3, 0x0b0);
AT(control.virt_ext, 0x0b8);
AT(control.clean, 0x0c0);
AT(control.nrip, 0x0c8);
AT(control.insn_len, 0x0d0);
AT(control.insn_bytes, 0x0d1);
AT(save.es, 0x400);
AT(save.cs, 0x410);
AT(save.ss, 0x420);
AT(save.ds, 0x430);
AT(save.fs, 0x440);
AT(save.gs, 0x450);
AT(save.gdtr, 0x460);
AT(save.ldtr, 0x470);
AT(save.idtr, 0x480);
AT(save.tr, 0x490);
AT(save.cpl, 0x4cb);
AT(save.efer, 0x4d0);
AT(save.cr4, 0x548);
AT(save.cr3, 0x550);
AT(save.cr0, 0x558);
AT(save.dr7, 0x560);
AT(save.dr6, 0x568);
AT(save.rflags, 0x570);
AT(save.rip, 0x578);
AT(save.rsp, 0x5d8);
AT(save.rax, 0x5f8);
AT(save.star, 0x600);
AT(save.lstar, 0x608);
AT(save.cstar, 0x610);
AT(save.sfmask, 0x618);
AT(save.kernel_gs_base, 0x620);
AT(save.sysenter_cs, 0x628);
AT(save.sysenter_esp, 0x630);
AT(save.sysenter_eip, 0x638);
AT(save.cr2, 0x640);
AT(save.g_pat, 0x668);
_Static_assert(sizeof(struct vmcb) == 4096, "a VMCB is a page");
_Static_assert(sizeof(struct vmcb_segment) == 16, "segments");

#define CODE (SEG_TYPE_CODE | SEG_TYPE_WRITE | SEG_TYPE_ACCESSED | SEG_S)
#define DATA (SEG_TYPE_WRITE | SEG_TYPE_ACCESSED | SEG_S)
#define ALL_ATTRIBUTES 0xfffu

int main(void)
{
    TEST("segment attributes survive the round trip through the VMCB's form");
    for (unsigned a = 0; a <= ALL_ATTRIBUTES; a++)
        CHECK_EQ(attr_to_vmcb(attr_from_vmcb((u16)a)), a);

    TEST("a segment is unusable if and only if P is clear in the VMCB");
    for (unsigned a = 0; a <= ALL_ATTRIBUTES; a++)
        CHECK_EQ(!(attr_from_vmcb((u16)a) & SEG_UNUSABLE), !!(a & VMCB_ATTR_P));
    CHECK_EQ(attr_to_vmcb(SEG_UNUSABLE | SEG_P | SEG_TYPE_WRITE), SEG_TYPE_WRITE);

    TEST("64-bit code segment, 32-bit data segment");
    CHECK_EQ(attr_from_vmcb(CODE | VMCB_ATTR_P | VMCB_ATTR_L | VMCB_ATTR_G), CODE | SEG_P | SEG_L | SEG_G);
    CHECK_EQ(attr_to_vmcb(DATA | SEG_P | SEG_DB | SEG_G), DATA | VMCB_ATTR_P | VMCB_ATTR_DB | VMCB_ATTR_G);

    TEST("bases are sign-extended from the linear-address width");
    struct vcpu *v = calloc(1, sizeof *v);
    CHECK_EQ(canonicalize(v, 0x0000800000000000), 0xffff800000000000);
    CHECK_EQ(canonicalize(v, 0xffff7fffffffffff), 0x00007fffffffffff);
    v->cr4 = CR4_LA57;
    CHECK_EQ(canonicalize(v, 0x0000800000000000), 0x0000800000000000);
    free(v);

    TEST("exit codes number the intercept bits");
    for (unsigned code = 0; code < SVM_EXIT_INTERCEPTS; code++) {
        struct svm s = {0};
        ((u8 *)s.control.intercept)[code / 8] = (u8)(1u << code % 8);
        CHECK(svm_intercepted(&s, code));
    }
    return TEST_END();
}
