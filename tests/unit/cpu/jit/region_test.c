/*
 * Random code of loads, stores, copies of pointers, PUSH, POP and branches within a block: blocks with groups, for size
 * and for speed, do what their twins do, in which each access has a check of its own. Neighbouring pages of data lie
 * apart in RAM, so what a wrong check lets through shows.
 */
#include "unit/code_cache.h"

enum { PROGRAMS = 300, PARTS = 40, TURNS = 9, REACH = 0x300 };

static u64 seed = 1;
static u8 program[1024];
static u32 length;

static u32 any(u32 n)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (u32)(seed >> 33) % n;
}

static void byte(u32 b)
{
    program[length++] = (u8)b;
}

static void bytes(const u8 *b, u32 n)
{
    for (u32 i = 0; i < n; i++)
        byte(b[i]);
}
#define BYTES(...) bytes((const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))

/* Registers that point to data, and those that hold it. */
static u32 pointer(void)
{
    static const u8 list[] = {RBX, RSP, RBP, RSI, RDI, R11, RCX};
    return list[any(sizeof list)];
}

static u32 datum(void)
{
    static const u8 list[] = {RAX, RDX, R8, R9, R14};
    return list[any(sizeof list)];
}

/* ModRM and displacement for [reg + disp8], or with an index that is 0 to 15. */
static void operand(u32 opcode, u32 reg, u32 base)
{
    bool index = any(4) == 0;
    byte(0x48 | (reg & 8) >> 1 | (index ? 2 : 0) | base >> 3);
    byte(opcode);
    byte(0x40 | (reg & 7) << 3 | (index || base == RSP ? 4 : base & 7));
    if (index || base == RSP)
        byte((index ? any(3) << 6 | (R10 & 7) << 3 : RSP << 3) | (base & 7));
    byte(any(256));
}

static void part(void)
{
    u32 a = pointer(), b = pointer(), x = datum();
    switch (any(12)) {
    case 0:
    case 1:
    case 2: operand(0x8b, x, a); break;
    case 3:
    case 4: operand(0x89, x, a); break;
    case 5: operand(0x03, x, a); break;
    case 6:
        if (any(2))
            BYTES(0x48 | (b & 8) >> 1 | a >> 3, 0x89, 0xc0 | (b & 7) << 3 | (a & 7)); /* mov a, b */
        else
            BYTES(0x48 | (b & 8) >> 1 | a >> 3, 0x8b, 0xc0 | (b & 7) << 3 | (a & 7)); /* mov b, a */
        break;
    case 7: operand(0x8d, a, b), program[length - 1] &= 0x1f; break; /* lea a, [b + disp] */
    case 8: BYTES(0x48 | a >> 3, 0x83, any(2) ? 0xc0 | (a & 7) : 0xe8 | (a & 7), any(24)); break; /* add, sub */
    case 9: BYTES(0x40 | x >> 3, any(2) ? 0x50 | (x & 7) : 0x58 | (x & 7)); break;                /* push, pop */
    case 10: BYTES(0x49, 0xc1, 0xc5, 7, 0x41, 0xf6, 0xc5, 1 << any(8)); break; /* rol r13, 7; test r13b, bit */
    default: BYTES(0x4c, 0x31, 0xc0 | (R9 & 7) << 3 | RAX);                    /* xor rax, r9 */
    }
}

/* A branch at `from` gets the target `to`. */
static void aim(u32 from, u32 to)
{
    s32 by = (s32)(to - from);
    memcpy(program + from - 4, &by, sizeof by);
}

static void make(void)
{
    u32 at[PARTS + 1], from[PARTS], to[PARTS], branches = 0;
    length = 0;
    for (u32 i = 0; i < PARTS; i++) {
        at[i] = length;
        u32 what = any(10);
        if (what > 2) {
            part();
            continue;
        }
        if (what == 0 && i) { /* sub r12, 1; jg back */
            BYTES(0x49, 0x83, 0xec, 1, 0x0f, 0x8f, 0, 0, 0, 0);
            to[branches] = any(i);
        } else {
            if (any(12))
                BYTES(0x0f, 0x80 | any(16), 0, 0, 0, 0); /* jcc ahead */
            else
                BYTES(0xe9, 0, 0, 0, 0);
            to[branches] = i + 1 + any(PARTS - i < 8 ? PARTS - i : 8);
        }
        from[branches++] = length;
    }
    at[PARTS] = length;
    byte(HLT);
    for (u32 i = 0; i < branches; i++)
        aim(from[i], at[to[i]]);
}

struct result {
    bool halted;
    u64 gpr[GPR_COUNT], arith, data[FRAMES * PAGE_SIZE / 8];
};

static void run_program(u32 more, bool hot, struct result *r)
{
    u64 start = seed;
    for (u32 i = 0; i < sizeof r->data / 8; i++)
        ((u64 *)(ram + DATA_GPA))[i] = i * 0x0101010101010101ull;
    for (u32 i = 0; i < GPR_COUNT; i++)
        v->gpr[i] = DATA + 2 * PAGE_SIZE + any(REACH) - REACH / 2;
    v->gpr[R10] = any(16);
    v->gpr[R12] = TURNS;
    v->gpr[R13] = seed * 0x9e3779b97f4a7c15ull;
    v->arith = 0;
    v->mode |= more;
    if (hot && block(0))
        block_heat(v, block(0));
    r->halted = run(0);
    v->exit = CPU_EXIT_NONE;
    mode_update(v);
    memcpy(r->gpr, v->gpr, sizeof r->gpr);
    memcpy(r->data, ram + DATA_GPA, sizeof r->data);
    r->arith = v->arith;
    seed = start;
}

static bool same(const struct result *a, const struct result *b)
{
    return a->halted == b->halted && !memcmp(a->gpr, b->gpr, sizeof a->gpr) &&
           !memcmp(a->data, b->data, sizeof a->data);
}

static void random_code(u32 programs)
{
    static struct result twin, size, speed;
    u32 different = 0, halted = 0, ahead = 0, groups = 0;
    for (u32 i = 0; i < programs; i++) {
        make();
        code_create();
        for (u32 k = 0; k < FRAMES; k++)
            map(DATA + k * PAGE_SIZE, (DATA_GPA + (FRAMES - 1 - k) * PAGE_SIZE) | P | W | U);
        mmu_flush_all(v);
        put_code(0, program, length);
        run_program(MODE_PLAIN, false, &twin);
        run_program(0, false, &size);
        run_program(0, true, &speed);
        for (u32 k = 0; k < v->exec->tr->insn_count; k++)
            ahead += v->exec->tr->insn[k].ahead != NO_INSN;
        for (u32 k = 0; k < v->exec->tr->group_count; k++)
            groups += v->exec->tr->group[k].slot != GROUP_NONE;
        different += !same(&twin, &size) || !same(&twin, &speed);
        halted += twin.halted;
    }
    CHECK_EQ(different, 0);
    CHECK(halted > programs / 2 && ahead > programs / 2 && groups > programs / 2);
}

int main(int argc, char **argv)
{
    TEST("random code with groups does what it does without them");
    if (argc > 1)
        seed = (u64)atoll(argv[1]);
    random_code(argc > 2 ? (u32)atoi(argv[2]) : PROGRAMS);
    return TEST_END();
}
