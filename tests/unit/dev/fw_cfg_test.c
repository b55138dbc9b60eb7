#include "dev/fw_cfg.h"
#include "unit/slots.h"
#include "unit/test.h"

#include <errno.h>
#include <string.h>

static struct fw_cfg fw;
static u8 ram[8192] __attribute__((aligned(4096)));

static u64 number(u16 key, unsigned size)
{
    fw_cfg_ops.write(&fw, 0, key, 2);
    u64 v = 0;
    for (unsigned i = 0; i < size; i++)
        v |= fw_cfg_ops.read(&fw, 1, 1) << (i * 8);
    return v;
}
static u32 dma(u32 control, u32 length, u64 address)
{
    u32 words[4] = {__builtin_bswap32(control), __builtin_bswap32(length), __builtin_bswap32((u32)(address >> 32)),
                    __builtin_bswap32((u32)address)};
    memcpy(ram + 16, words, sizeof(words));
    fw_cfg_dma_ops.write(&fw, 0, 0, 4);
    fw_cfg_dma_ops.write(&fw, 4, __builtin_bswap32(16), 4);
    memcpy(words, ram + 16, 4);
    return __builtin_bswap32(words[0]);
}

int main(void)
{
    struct fw_cfg_config config = {.vcpus = 4, .ram_size = 5ull << 30, .ram = slots_create(ram, sizeof(ram))};
    fw_cfg_init(&fw, &config);

    TEST("traditional interface");
    CHECK_EQ(number(FW_CFG_SIGNATURE, 4), 0x554d4551);
    CHECK_EQ(number(FW_CFG_ID, 4), 3);
    CHECK_EQ(number(FW_CFG_NB_CPUS, 2), 4);
    CHECK_EQ(number(FW_CFG_RAM_SIZE, 8), 5ull << 30);
    CHECK_EQ(number(FW_CFG_RAM_SIZE, 8) >> 8, 5ull << 22);
    CHECK_EQ(fw_cfg_ops.read(&fw, 1, 1), 0);
    CHECK_EQ(number(0x7fff, 4), 0);
    CHECK_EQ(number(0x8001, 4), 0);

    TEST("files");
    CHECK_EQ(fw_cfg_add_file(&fw, "opt/a", "hello", 5), 0);
    CHECK_EQ(fw_cfg_add_file(&fw, "opt/b", "world!", 6), 0);
    CHECK_EQ(fw_cfg_add_file(&fw, "opt/a", "x", 1), -EEXIST);
    CHECK_EQ(fw_cfg_add_file(&fw, "0123456789012345678901234567890123456789012345678901234567", "x", 1), -ENAMETOOLONG);
    CHECK_EQ(number(FW_CFG_FILE_DIR, 4), 0x02000000);
    CHECK_EQ(number(0x21, 6), 0x21646c726f77);

    TEST("DMA");
    CHECK_EQ((u32)fw_cfg_dma_ops.read(&fw, 0, 4), 0x554d4551);
    CHECK_EQ(fw_cfg_dma_ops.read(&fw, 4, 4), 0x47464320);
    memset(ram, 0xee, sizeof(ram));
    CHECK_EQ(dma(0x20u << 16 | 8 | 2, 8, 0x100), 0);
    CHECK(memcmp(ram + 0x100, "hello\0\0\0\xee", 9) == 0);
    CHECK_EQ(dma(0x21u << 16 | 8 | 4, 2, 0), 0);
    CHECK_EQ(dma(2, 3, 0x200), 0);
    CHECK(memcmp(ram + 0x200, "rld\xee", 4) == 0);
    CHECK_EQ(dma(2, 100, ~0ull - 5), 1);
    CHECK_EQ(dma(0x20u << 16 | 8 | 16, 1, 0x100), 1);
    return TEST_END();
}
