/*
 * fw_cfg: items, files, and the DMA interface.
 */
#include "dev/fw_cfg.h"
#include "unit/fake_board.h"
#include "unit/slots.h"
#include "unit/test.h"

#include <errno.h>
#include <string.h>

struct bench {
    u8 ram[8192] __attribute__((aligned(PAGE_SIZE)));
    struct ram *slots;
    struct fw_cfg fw;
};
#define ACCESS 16 /* where in RAM the description of a DMA access is put */

/* With files "opt/a" and "opt/b", in which are "hello" and "world!". */
static struct bench *bench_create(void)
{
    struct bench *b = aligned_alloc(PAGE_SIZE, align_up(sizeof(*b), PAGE_SIZE));
    if (!b)
        abort();
    memset(b, 0, sizeof(*b));
    b->slots = slots_create(b->ram, sizeof(b->ram));
    fw_cfg_init(&b->fw, &(struct fw_cfg_config){.vcpus = 4, .ram_size = 5ull << 30, .ram = b->slots});
    CHECK_EQ(fw_cfg_add_file(&b->fw, "opt/a", "hello", 5), 0);
    CHECK_EQ(fw_cfg_add_file(&b->fw, "opt/b", "world!", 6), 0);
    return b;
}
enum { FILE_A = FW_CFG_FILE_FIRST, FILE_B };

static void bench_destroy(struct bench *b)
{
    ram_destroy(b->slots);
    free(b);
}

static u64 data(struct bench *b)
{
    return fw_cfg_ops.read(&b->fw, FW_CFG_DATA, 1);
}

/* The first bytes of an item, as a little-endian number. */
static u64 number(struct bench *b, u16 key, unsigned size)
{
    fw_cfg_ops.write(&b->fw, FW_CFG_SELECTOR, key, 2);
    u64 v = 0;
    for (unsigned i = 0; i < size; i++)
        v |= data(b) << (i * 8);
    return v;
}

/* Returns the control field as the device leaves it. */
static u32 dma(struct bench *b, u32 control, u32 length, u64 address)
{
    u32 words[4] = {__builtin_bswap32(control), __builtin_bswap32(length), __builtin_bswap32((u32)(address >> 32)),
                    __builtin_bswap32((u32)address)};
    memcpy(b->ram + ACCESS, words, sizeof(words));
    fw_cfg_dma_ops.write(&b->fw, FW_CFG_DMA_HIGH, 0, 4);
    fw_cfg_dma_ops.write(&b->fw, FW_CFG_DMA_LOW, __builtin_bswap32(ACCESS), 4);
    memcpy(words, b->ram + ACCESS, 4);
    return __builtin_bswap32(words[0]);
}

static u32 select_and(u16 key, u32 control)
{
    return (u32)key << FW_CFG_DMA_KEY_SHIFT | FW_CFG_DMA_SELECT | control;
}

static void test_items(void)
{
    TEST("traditional interface");
    struct bench *b = bench_create();
    CHECK_EQ(number(b, FW_CFG_SIGNATURE, 4), 0x554d4551); /* "QEMU" */
    CHECK_EQ(number(b, FW_CFG_ID, 4), FW_CFG_ID_TRADITIONAL | FW_CFG_ID_DMA);
    CHECK_EQ(number(b, FW_CFG_NB_CPUS, 2), 4);
    CHECK_EQ(number(b, FW_CFG_RAM_SIZE, 8), 5ull << 30);
    CHECK_EQ(number(b, FW_CFG_RAM_SIZE, 8) >> 8, 5ull << 22);
    CHECK_EQ(data(b), 0);
    CHECK_EQ(number(b, 0x7fff, 4), 0);
    CHECK_EQ(number(b, FW_CFG_ARCH_LOCAL | FW_CFG_ID, 4), 0);

    TEST("files");
    static const char long_name[] = "0123456789012345678901234567890123456789012345678901234567";
    CHECK_EQ(fw_cfg_add_file(&b->fw, "opt/a", "x", 1), -EEXIST);
    CHECK_EQ(fw_cfg_add_file(&b->fw, long_name, "x", 1), -ENAMETOOLONG);
    CHECK_EQ(number(b, FW_CFG_FILE_DIR, 4), 0x02000000);
    CHECK_EQ(number(b, FILE_B, 6), 0x21646c726f77); /* "world!" */
    bench_destroy(b);
}

static void test_dma(void)
{
    TEST("DMA");
    struct bench *b = bench_create();
    CHECK_EQ((u32)fw_cfg_dma_ops.read(&b->fw, FW_CFG_DMA_HIGH, 4), 0x554d4551); /* "QEMU" */
    CHECK_EQ(fw_cfg_dma_ops.read(&b->fw, FW_CFG_DMA_LOW, 4), 0x47464320);       /* " CFG" */
    memset(b->ram, 0xee, sizeof(b->ram));
    CHECK_EQ(dma(b, select_and(FILE_A, FW_CFG_DMA_READ), 8, 0x100), 0);
    CHECK(memcmp(b->ram + 0x100, "hello\0\0\0\xee", 9) == 0);
    CHECK_EQ(dma(b, select_and(FILE_B, FW_CFG_DMA_SKIP), 2, 0), 0);
    CHECK_EQ(dma(b, FW_CFG_DMA_READ, 3, 0x200), 0);
    CHECK(memcmp(b->ram + 0x200, "rld\xee", 4) == 0);
    CHECK_EQ(dma(b, FW_CFG_DMA_READ, 100, ~0ull - 5), FW_CFG_DMA_ERROR);
    CHECK_EQ(dma(b, select_and(FILE_A, FW_CFG_DMA_WRITE), 1, 0x100), FW_CFG_DMA_ERROR);
    bench_destroy(b);
}

static void test_state(void)
{
    TEST("saved and loaded: reading goes on where it was");
    struct bench *b = bench_create(), *other = bench_create();
    CHECK_EQ(number(b, FILE_A, 2), 0x6568); /* "he" */
    CHECK_EQ(state_pass(&fw_cfg_device, &b->fw, &other->fw), 0);
    CHECK_EQ(data(other), 'l');
    fw_cfg_device.reset(&other->fw);
    CHECK_EQ(data(other), 'Q');
    bench_destroy(b);
    bench_destroy(other);
}

int main(void)
{
    test_items();
    test_dma();
    test_state();
    return TEST_END();
}
