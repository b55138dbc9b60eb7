/*
 * Instructions that were decoded before: a block is made of the same bytes whether they are recalled or not, whatever
 * was remembered of others with the same opcode, and one entry that two instructions of a block want serves both.
 */
#include "unit/code_cache.h"

#define BLOCKS 3000

static u64 seed = 1;

static u32 next(void)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (u32)(seed >> 33);
}

/* What a translation leaves: both parts of the code, and the data that describes it. */
static struct snapshot {
    u8 hot[CACHE_ROOM], cold[CACHE_ROOM], data[CACHE_ROOM];
    size_t hot_size, cold_size, data_size;
    bool made;
} one, other;

static struct {
    u8 *hot, *cold, *data;
} start;

/* Translates the block at CODE into the same place of an empty cache. What is remembered stays. */
static void make(struct snapshot *s)
{
    cache->hot = start.hot;
    cache->cold = start.cold;
    cache->data_next = start.data;
    cache->block_count = cache->link_count = cache->granules = 0;
    memset(cache->hash, 0, sizeof cache->hash);
    memset(cache->pages, 0, sizeof cache->pages);
    memset(start.data, 0, CACHE_ROOM);
    struct block *b = block(0);
    s->made = b;
    if (!b)
        return;
    s->hot_size = (size_t)(b->hot_end - b->far_entry);
    s->cold_size = (size_t)(b->cold_end - b->cold);
    s->data_size = (size_t)(cache->data_next - start.data);
    memcpy(s->hot, b->far_entry, s->hot_size);
    memcpy(s->cold, b->cold, s->cold_size);
    memcpy(s->data, start.data, s->data_size);
}

static bool same(const struct snapshot *a, const struct snapshot *b)
{
    return a->made == b->made && a->hot_size == b->hot_size && a->cold_size == b->cold_size &&
           a->data_size == b->data_size && !memcmp(a->hot, b->hot, a->hot_size) &&
           !memcmp(a->cold, b->cold, a->cold_size) && !memcmp(a->data, b->data, a->data_size);
}

static void forget(void)
{
    memset(cache->recall, 0, sizeof cache->recall);
}

static u8 instruction[BLOCK_MAX_INSNS][INSN_MAX];
static unsigned length[BLOCK_MAX_INSNS];

/* A random valid instruction, most often of those that compilers make. */
static unsigned random_instruction(u8 *to)
{
    static const u8 prefixes[] = {0x66, 0xf2, 0xf3, 0xf0, 0x64, 0x2e, 0x67};
    ZydisDecoder decoder;
    ZydisDecodedInstruction zi;
    ZydisDecodedOperand zo[ZYDIS_MAX_OPERAND_COUNT];
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    for (;;) {
        unsigned n = 0;
        for (unsigned i = 0; i < INSN_MAX; i++)
            to[i] = (u8)(next() >> 3);
        if (next() % 4 == 0)
            to[n++] = prefixes[next() % sizeof prefixes];
        if (next() % 2)
            to[n++] = 0x40 | next() % 16;
        if (next() % 4 == 0)
            to[n] = 0x0f;
        if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, to, INSN_MAX, &zi, zo)))
            continue;
        if (zi.meta.branch_type == ZYDIS_BRANCH_TYPE_NONE || zi.meta.category == ZYDIS_CATEGORY_COND_BR)
            return zi.length;
    }
}

static void put_block(unsigned count)
{
    u32 at = 0;
    for (unsigned i = 0; i < count; at += length[i++])
        put_code(at, instruction[i], length[i]);
    PUT(at, HLT);
}

/* Other values in the last bytes of instructions, as far as these have as many bytes then and do not end the block. */
static void other_values(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        u8 changed[INSN_MAX];
        ZydisDecoder decoder;
        ZydisDecodedInstruction zi;
        ZydisDecodedOperand zo[ZYDIS_MAX_OPERAND_COUNT];
        ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
        memcpy(changed, instruction[i], INSN_MAX);
        for (unsigned k = length[i] / 2; k < length[i]; k++)
            changed[k] = (u8)next();
        if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, changed, length[i], &zi, zo)) && zi.length == length[i])
            memcpy(instruction[i], changed, INSN_MAX);
    }
}

static void random_blocks(void)
{
    unsigned again = 0, after = 0, made = 0;
    TEST("random blocks are the same when recalled");
    code_create();
    start.hot = cache->hot;
    start.cold = cache->cold;
    start.data = cache->data_next;
    for (unsigned n = 0; n < BLOCKS; n++) {
        unsigned count = 1 + next() % BLOCK_MAX_INSNS;
        for (unsigned i = 0; i < count; i++)
            length[i] = random_instruction(instruction[i]);
        put_block(count);
        forget();
        make(&one);
        make(&other);
        again += !same(&one, &other);
        made += one.made;
        other_values(count);
        put_block(count);
        make(&one);
        forget();
        make(&other);
        after += !same(&one, &other);
    }
    CHECK_EQ(made, BLOCKS);
    CHECK_EQ(again, 0);
    TEST("and so are those with other values");
    CHECK_EQ(after, 0);
}

static bool is_recalled(unsigned i)
{
    const struct tr *t = v->exec->tr;
    return t->insn[i].zi != &t->output[i].zi;
}

static void what_is_recalled(void)
{
    TEST("an instruction with another displacement and another immediate is recalled");
    code_create();
    PUT(0, 0xc7, 0x43, 0x10, 1, 2, 3, 4, 0xc7, 0x43, 0xf0, 5, 6, 7, 0x88, HLT); /* mov dword [rbx + disp8], imm32 */
    CHECK(block(0));
    const struct decoded *d = v->exec->tr->insn;
    CHECK(!is_recalled(0) && is_recalled(1));
    CHECK_EQ(d[1].in.disp, -16);
    CHECK_EQ(d[1].in.imm, 0xffffffff88070605);
    CHECK_EQ(d[1].in.offset, 7);
    CHECK_EQ(d[1].in.bytes[6], 0x88);

    TEST("not with other registers, and not in another mode");
    code_create();
    PUT(0, 0x48, 0x89, 0xc3, 0x48, 0x89, 0xd3, 0x48, 0x89, 0xc3, HLT); /* mov rbx, rax; mov rbx, rdx; mov rbx, rax */
    CHECK(block(0));
    CHECK(!is_recalled(0) && !is_recalled(1) && is_recalled(2));
    CHECK(block_in(0, MODE_PLAIN));
    CHECK(!is_recalled(0) && !is_recalled(1) && is_recalled(2));

    TEST("nothing after the cache was emptied");
    code_create();
    PUT(0, 0x48, 0x89, 0xc3, HLT);
    CHECK(block(0));
    CHECK(!is_recalled(0));
}

int main(void)
{
    what_is_recalled();
    random_blocks();
    return test_end();
}
