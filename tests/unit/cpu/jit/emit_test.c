/*
 * The emitters: each against what Zydis decodes of its bytes. None of them writes RFLAGS.
 */
#include "cpu/jit/emit.h"
#include "cpu/jit/site.h"
#include "unit/host_text.h"

static u8 code[256] __attribute__((aligned(64)));
static struct emit e;
static struct host_text text;

static const struct host_text *emitted(void)
{
    host_text(&text, code, e.p, NULL);
    e.p = code;
    return &text;
}

#define EMIT(expected, call)                                                                                           \
    do {                                                                                                               \
        call;                                                                                                          \
        CHECK_TEXT(emitted(), expected);                                                                               \
    } while (0)

static void registers(void)
{
    TEST("moves between registers");
    EMIT("mov rax, rbx", emit_mov(&e, RAX, RBX));
    EMIT("mov r14, r9", emit_mov(&e, R14, R9));
    EMIT("mov rcx, r15", emit_mov(&e, RCX, R15));
    EMIT("mov eax, r11d", emit_mov32(&e, RAX, R11));
    EMIT("mov esi, esi", emit_mov32(&e, RSI, RSI));
    EMIT("mov r14w, ax", emit_mov16(&e, R14, RAX));
    EMIT("mov rbp, rcx", emit_mov_sized(&e, 8, RBP, RCX));
    EMIT("mov ebp, ecx", emit_mov_sized(&e, 4, RBP, RCX));
    EMIT("mov bp, cx", emit_mov_sized(&e, 2, RBP, RCX));
    EMIT("movzx r11d, r14w", emit_movzx16(&e, R11, R14));
    EMIT("movzx ecx, bp", emit_movzx16(&e, RCX, RBP));
    EMIT("movzx ecx, al", emit_movzx_al(&e, RCX));
    EMIT("movsx r11d, dx", emit_movsx16(&e, R11, RDX));
    EMIT("movsx r11d, r15w", emit_movsx16(&e, R11, R15));
    EMIT("movsxd rcx, ecx", emit_movsxd(&e, RCX, RCX));

    TEST("a move to itself is none");
    emit_mov(&e, R12, R12);
    CHECK(e.p == code);

    TEST("constants");
    EMIT("mov ecx, 0x12345678", emit_mov_imm32(&e, RCX, 0x12345678));
    EMIT("mov r11d, 0x00", emit_mov_imm32(&e, R11, 0));
    EMIT("mov ecx, 0xFFFFFFFF", emit_mov_imm64(&e, RCX, 0xffffffff));
    EMIT("mov rcx, 0x100000000", emit_mov_imm64(&e, RCX, 0x100000000));
    EMIT("mov r11, 0x123456789ABCDEF0", emit_mov_imm64(&e, R11, 0x123456789abcdef0));
}

static void memory(void)
{
    TEST("fields of the vCPU");
    EMIT("mov rcx, [vcpu.page_la]", emit_load(&e, RCX, VCPU_DISP(page_la)));
    EMIT("mov r11, [vcpu.gpr[R15]]", emit_load(&e, R11, gpr_disp(R15)));
    EMIT("mov [vcpu.gpr[R14]], rdx", emit_store(&e, RDX, gpr_disp(R14)));
    EMIT("mov [vcpu.spill[1]], r11", emit_store(&e, R11, VCPU_DISP(spill[1])));
    EMIT("mov [vcpu.gpr[R11]], cx", emit_store16(&e, RCX, gpr_disp(R11)));

    TEST("those that hot code needs take a displacement of one byte");
    emit_load(&e, RCX, VCPU_DISP(tlb_mask));
    CHECK_EQ(e.p - code, 5);
    e.p = code;
    emit_load(&e, RCX, gpr_disp(R15));
    CHECK_EQ(e.p - code, 5);
    e.p = code;

    TEST("guest memory");
    EMIT("mov rax, [rcx+rbx*1+0x08]", emit_load_mem(&e, 8, RAX, RCX, RBX, 8));
    EMIT("mov r13d, [rcx+r15*1]", emit_load_mem(&e, 4, R13, RCX, R15, 0));
    EMIT("movzx ecx, word ptr [rcx+r11*1-0x80]", emit_load_mem(&e, 2, RCX, RCX, R11, -128));
    EMIT("mov [rcx+r15*1-0x88], r14", emit_store_mem(&e, 8, R14, RCX, R15, -136));
    EMIT("mov [rcx], r11d", emit_store_mem(&e, 4, R11, RCX, H_NONE, 0));
    EMIT("mov [rcx+rbp*1], r11w", emit_store_mem(&e, 2, R11, RCX, RBP, 0));
    EMIT("mov [rcx+r15*1-0x08], 0xFFFFFFFFFFFFFF85", emit_store_imm(&e, 8, -(u64)123, RCX, R15, -8));
    EMIT("mov dword ptr [rcx+rax*1], 0x12345678", emit_store_imm(&e, 4, 0x12345678, RCX, RAX, 0));
    EMIT("mov word ptr [rcx+rax*1], 0x1234", emit_store_imm(&e, 2, 0x1234, RCX, RAX, 0));
    EMIT("mov al, [rcx+r11*1]", emit_load_al(&e, RCX, R11));

    TEST("bases and indices of every encoding");
    EMIT("lea rax, [rbp]", emit_lea(&e, true, RAX, RBP, H_NONE, 1, 0));
    EMIT("lea rax, [r13]", emit_lea(&e, true, RAX, R13, H_NONE, 1, 0));
    EMIT("lea rax, [r12]", emit_lea(&e, true, RAX, R12, H_NONE, 1, 0));
    EMIT("lea rax, [r12+0x80]", emit_lea(&e, true, RAX, R12, H_NONE, 1, 128));
    EMIT("lea rax, [r13+r12*4]", emit_lea(&e, true, RAX, R13, R12, 4, 0));
    EMIT("lea rax, [rbp+r15*2+0x7F]", emit_lea(&e, true, RAX, RBP, R15, 2, 127));
    EMIT("lea rax, [r9*8+0x12345]", emit_lea(&e, true, RAX, H_NONE, R9, 8, 0x12345));
    EMIT("lea r8d, [0x0000000000001234]", emit_lea(&e, false, R8, H_NONE, H_NONE, 1, 0x1234));
    EMIT("lea r15, [r15-0x08]", emit_lea(&e, true, H_GUEST_RSP, H_GUEST_RSP, H_NONE, 1, -8));
    EMIT("lea r14d, [r14-0x01]", emit_lea(&e, false, H_GUEST_RCX, H_GUEST_RCX, H_NONE, 1, -1));

    TEST("a LEA of fixed length");
    emit_lea_long(&e, RCX, R11, H_NONE, -5);
    CHECK_EQ(e.p - code, LEA_LONG);
    CHECK_TEXT(emitted(), "lea rcx, [r11-0x05]");
    emit_lea_long(&e, RCX, R11, H_NONE, 0);
    CHECK_EQ(e.p - code, LEA_LONG);
    CHECK_TEXT(emitted(), "lea rcx, [r11]");

    TEST("the TLB context");
    EMIT("mov rcx, gs:rtag[rcx*8]", emit_gs_load(&e, RCX, RCX, offsetof(struct tlb, rtag)));
    EMIT("mov rcx, gs:wadd[r11*8]", emit_gs_load(&e, RCX, R11, offsetof(struct tlb, wadd)));
    EMIT("jmp gs:jcode[rcx*8]", emit_gs_jmp(&e, RCX, offsetof(struct tlb, jcode)));
}

static void arithmetic(void)
{
    TEST("BMI2");
    EMIT("pext rcx, rbx, [vcpu.tlb_mask]", emit_pext(&e, RCX, RBX, VCPU_DISP(tlb_mask)));
    EMIT("pext r11, r15, [vcpu.bit_mask[2]]", emit_pext(&e, R11, R15, VCPU_DISP(bit_mask[2])));
    EMIT("shrx rcx, rcx, rsp", emit_shr12(&e, RCX, RCX));
    EMIT("shrx r11, r9, rsp", emit_shr12(&e, R11, R9));
    EMIT("sarx rcx, rdx, rcx", emit_sarx(&e, true, RCX, RDX, RCX));
    EMIT("sarx ecx, r11d, ecx", emit_sarx(&e, false, RCX, R11, RCX));

    TEST("RSP is a shift count of 12");
    CHECK_EQ(VCPU_BIAS & 63, 12);

    TEST("bit instructions of the guest");
    EMIT("bt [rcx], r11", emit_bit_op(&e, false, 8, 0xa3, R11, RCX));
    EMIT("bts [rcx], r11d", emit_bit_op(&e, false, 4, 0xab, R11, RCX));
    EMIT("lock btr [rcx], r11w", emit_bit_op(&e, true, 2, 0xb3, R11, RCX));
    EMIT("lock btc [rcx], r11", emit_bit_op(&e, true, 8, 0xbb, R11, RCX));
}

static void jumps(void)
{
    TEST("short jumps ahead");
    u8 *over = emit_jrcxz(&e);
    emit_mov(&e, RAX, RBX);
    emit_here8(&e, over);
    CHECK_TEXT(emitted(), "jrcxz #2", "mov rax, rbx");
    over = emit_jmp8(&e);
    emit_mov(&e, RAX, RBX);
    emit_here8(&e, over);
    CHECK_TEXT(emitted(), "jmp #2", "mov rax, rbx");

    TEST("long jumps ahead");
    over = emit_jmp32(&e);
    emit_mov(&e, RAX, RBX);
    emit_here32(&e, over);
    CHECK_TEXT(emitted(), "jmp #2", "mov rax, rbx");
    over = emit_jcc32(&e, CC_Z);
    emit_mov(&e, RAX, RBX);
    emit_here32(&e, over);
    CHECK_TEXT(emitted(), "jz #2", "mov rax, rbx");

    TEST("jumps to a place");
    emit_mov(&e, RAX, RBX);
    emit_jmp(&e, code);
    emit_jcc(&e, CC_NZ, code);
    emit_jcc(&e, CC_Z ^ CC_NOT, code);
    CHECK_TEXT(emitted(), "mov rax, rbx", "jmp #0", "jnz #0", "jnz #0");

    TEST("a jump that is patched");
    emit_jmp(&e, code);
    patch_rel32(e.p - 4, e.p + 3);
    emit_mov(&e, RAX, RBX);
    CHECK_TEXT(emitted(), "jmp #2", "mov rax, rbx");

    TEST("a call of a place, ahead and back; a return; a jump to a register");
    emit_call(&e, code + 8);
    CHECK_EQ(e.p - code, 5);
    emit_mov(&e, RAX, RBX);
    emit_call(&e, code + 5);
    CHECK_TEXT(emitted(), "call #2", "mov rax, rbx", "call #1");
    EMIT("ret", emit_ret(&e));
    EMIT("jmp rcx", emit_jmp_reg(&e, H_SCRATCH));
    EMIT("jmp r11", emit_jmp_reg(&e, R11));
    emit_jmp_reg(&e, H_SCRATCH);
    CHECK_EQ(e.p - code, JUMP_REG_SIZE); /* the data behind it is found by that */
    e.p = code;

    TEST("a jump and a call by way of the vCPU");
    EMIT("jmp [vcpu.leave_lookup]", emit_jmp_vcpu(&e, VCPU_DISP(leave_lookup)));
    EMIT("call [vcpu.call_thunk]", emit_call_vcpu(&e, VCPU_DISP(call_thunk)));
}

static void padding(void)
{
    TEST("instructions that do nothing");
    EMIT("nop", emit_nops(&e, 1));
    emit_nops(&e, 5);
    CHECK_EQ(e.p - code, 5);
    CHECK_EQ(emitted()->n, 1);
    for (unsigned bytes = 1; bytes <= 63; bytes++) {
        emit_nops(&e, bytes);
        CHECK_EQ(e.p - code, bytes);
        CHECK_EQ(emitted()->n, (bytes + 8) / 9);
    }

    TEST("alignment by few instructions");
    for (unsigned from = 0; from < 64; from++) {
        struct emit at = {code + from, code + sizeof code};
        emit_align(&at, 64);
        CHECK(at.p == code + (from ? 64 : 0));
        host_text(&text, code + from, at.p, NULL);
        CHECK_EQ(text.n, from ? (64 - from + 8) / 9 : 0);
    }

    TEST("a rel32 that is patched lies in one cache line");
    for (unsigned opcode = 1; opcode <= 2; opcode++)
        for (unsigned from = 0; from < 64; from++) {
            struct emit at = {code + from, code + sizeof code};
            emit_align_rel32(&at, opcode);
            u64 field = (u64)at.p + opcode;
            CHECK_EQ(field / 64, (field + 3) / 64);
            CHECK(at.p - (code + from) < 4);
        }
}

static void limits(void)
{
    TEST("what does not fit is counted and not written");
    u8 room[16];
    memset(room, 0x55, sizeof room);
    struct emit small = {room, room + 4};
    emit_mov(&small, RAX, RBX);
    emit_mov_imm64(&small, RAX, ~0ull);
    emit_bytes(&small, "abc", 3);
    CHECK_EQ(small.p - room, 16);
    for (unsigned i = 4; i < sizeof room; i++)
        CHECK_EQ(room[i], 0x55);
}

/* Every emitter once; the flags of the guest are the host's. */
static void flags(void)
{
    TEST("no emitter writes a flag");
    emit_mov(&e, RAX, RBX);
    emit_mov32(&e, RAX, RBX);
    emit_mov16(&e, RAX, RBX);
    emit_movzx16(&e, RAX, RBX);
    emit_movzx_al(&e, RCX);
    emit_movsx16(&e, RAX, RBX);
    emit_movsxd(&e, RAX, RBX);
    emit_mov_imm64(&e, RAX, ~0ull);
    emit_load(&e, RAX, VCPU_DISP(page_la));
    emit_store(&e, RAX, VCPU_DISP(page_la));
    emit_store16(&e, RAX, VCPU_DISP(page_la));
    emit_load_mem(&e, 2, RAX, RBX, RCX, 0);
    emit_store_mem(&e, 2, RAX, RBX, RCX, 0);
    emit_store_imm(&e, 2, 0, RBX, RCX, 0);
    emit_load_al(&e, RBX, RCX);
    emit_lea(&e, true, RAX, RBX, RCX, 1, 0);
    emit_lea_long(&e, RAX, RBX, H_NONE, 0);
    emit_pext(&e, RAX, RBX, VCPU_DISP(tlb_mask));
    emit_shr12(&e, RAX, RBX);
    emit_sarx(&e, true, RAX, RBX, RCX);
    emit_gs_load(&e, RAX, RBX, 0);
    emit_jrcxz(&e);
    emit_loop(&e);
    emit_shrx32(&e, RAX, VCPU_DISP(one), RBX);
    emit_jmp_vcpu(&e, VCPU_DISP(page_la));
    emit_call_vcpu(&e, VCPU_DISP(page_la));
    emit_call(&e, code);
    emit_jmp_reg(&e, RCX);
    emit_ret(&e);
    emit_nops(&e, 5);
    emit_nops(&e, 8);
    ZydisDecoder d;
    ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    unsigned n = 0;
    for (const u8 *p = code; p < e.p; n++) {
        ZydisDecodedInstruction zi;
        ZydisDecodedOperand zo[ZYDIS_MAX_OPERAND_COUNT];
        if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, p, (size_t)(e.p - p), &zi, zo)))
            break;
        const ZydisAccessedFlags *f = zi.cpu_flags;
        CHECK(!f || !(f->modified | f->set_0 | f->set_1 | f->undefined));
        p += zi.length;
    }
    CHECK_EQ(n, 31);
    e.p = code;
}

int main(void)
{
    e = (struct emit){code, code + sizeof code};
    registers();
    memory();
    arithmetic();
    jumps();
    padding();
    limits();
    flags();
    return TEST_END();
}
