/*
 * fw_cfg. Called under the machine lock. Items are read-only for the guest; the DMA interface copies from them and
 * skips bytes of them, and refuses to write. Source: QEMU documentation, "QEMU Firmware Configuration (fw_cfg) Device".
 */
#include "dev/fw_cfg.h"

#include <errno.h>
#include <string.h>

#define DMA_SIGNATURE 0x51454d5520434647ull /* "QEMU CFG" */
#define NO_KEY 0xffff
/* Within an entry of the directory. */
#define ENTRY_SIZE 0
#define ENTRY_KEY 4
#define ENTRY_NAME 8

static const struct fw_cfg_item *current_item(const struct fw_cfg *fw)
{
    static const struct fw_cfg_item none = {0};
    return fw->key < FW_CFG_KEYS ? &fw->item[fw->key] : &none;
}

static const u8 *item_data(const struct fw_cfg_item *item)
{
    return item->data ? item->data : item->own;
}

static void key_select(struct fw_cfg *fw, u16 key)
{
    fw->key = key & FW_CFG_ARCH_LOCAL ? NO_KEY : key & FW_CFG_KEY;
    fw->offset = 0;
}

static u64 port_read(void *dev, u64 offset, unsigned size)
{
    struct fw_cfg *fw = dev;
    const struct fw_cfg_item *item = current_item(fw);
    if (offset != FW_CFG_DATA || fw->offset >= item->size)
        return 0;
    return item_data(item)[fw->offset++];
}

static void port_write(void *dev, u64 offset, u64 value, unsigned size)
{
    if (offset == FW_CFG_SELECTOR && size == 2)
        key_select(dev, (u16)value);
}

/* Copies the next `length` bytes of the item to guest memory, zeros behind its end. */
static bool dma_copy(struct fw_cfg *fw, gpa_t gpa, u32 length)
{
    static const u8 zeros[PAGE_SIZE];
    const struct fw_cfg_item *item = current_item(fw);
    while (length) {
        u32 left = fw->offset < item->size ? item->size - fw->offset : 0;
        u32 n = left ? left : (u32)sizeof(zeros);
        if (n > length)
            n = length;
        const u8 *from = left ? item_data(item) + fw->offset : zeros;
        if (!ram_write(fw->config.ram, gpa, from, n))
            return false;
        fw->offset += left ? n : 0;
        gpa.a += n;
        length -= n;
    }
    return true;
}

struct dma_access { /* big-endian */
    u32 control, length;
    u64 address;
};

static void dma_run(struct fw_cfg *fw)
{
    struct dma_access a;
    gpa_t gpa = GPA(fw->dma_address);
    fw->dma_address = 0;
    if (!ram_read(fw->config.ram, gpa, &a, sizeof(a)))
        return;
    u32 control = __builtin_bswap32(a.control), length = __builtin_bswap32(a.length), result = 0;
    if (control & FW_CFG_DMA_SELECT)
        key_select(fw, (u16)(control >> FW_CFG_DMA_KEY_SHIFT));
    if (control & FW_CFG_DMA_READ) {
        if (!dma_copy(fw, GPA(__builtin_bswap64(a.address)), length))
            result = FW_CFG_DMA_ERROR;
    } else if (control & FW_CFG_DMA_WRITE) {
        result = FW_CFG_DMA_ERROR;
    } else if (control & FW_CFG_DMA_SKIP) {
        u32 size = current_item(fw)->size;
        fw->offset = fw->offset > size || length > size - fw->offset ? size : fw->offset + length;
    }
    result = __builtin_bswap32(result);
    (void)!ram_write(fw->config.ram, gpa, &result, sizeof(result));
}

static u64 dma_read(void *dev, u64 offset, unsigned size)
{
    struct fw_cfg *fw = dev;
    if (!fw->config.ram)
        return ~0ull;
    return __builtin_bswap64(DMA_SIGNATURE) >> offset * 8;
}

static void dma_write(void *dev, u64 offset, u64 value, unsigned size)
{
    struct fw_cfg *fw = dev;
    if (!fw->config.ram || size != 4)
        return;
    u32 half = __builtin_bswap32((u32)value);
    if (offset == FW_CFG_DMA_HIGH) {
        fw->dma_address = (u64)half << 32;
    } else {
        fw->dma_address |= half;
        dma_run(fw);
    }
}

const struct bus_ops fw_cfg_ops = {port_read, port_write, 1, 2};
const struct bus_ops fw_cfg_dma_ops = {dma_read, dma_write, 1, 4};

void fw_cfg_set(struct fw_cfg *fw, u16 key, const void *data, u32 size)
{
    if (key < FW_CFG_KEYS)
        fw->item[key] = (struct fw_cfg_item){.data = data, .size = size};
}

void fw_cfg_set_number(struct fw_cfg *fw, u16 key, u64 value, unsigned size)
{
    if (key >= FW_CFG_KEYS || size > sizeof(value))
        return;
    fw->item[key] = (struct fw_cfg_item){.size = size};
    memcpy(fw->item[key].own, &value, size);
}

int fw_cfg_add_file(struct fw_cfg *fw, const char *name, const void *data, u32 size)
{
    if (strlen(name) >= sizeof(fw->file_name[0]))
        return -ENAMETOOLONG;
    for (u32 i = 0; i < fw->files; i++) {
        if (strcmp(fw->file_name[i], name) == 0)
            return -EEXIST;
    }
    if (fw->files == FW_CFG_FILES)
        return -ENOSPC;
    u32 n = fw->files++;
    strcpy(fw->file_name[n], name);
    fw_cfg_set(fw, (u16)(FW_CFG_FILE_FIRST + n), data, size);
    u8 *e = fw->directory + sizeof(u32) + n * FW_CFG_ENTRY;
    u32 be_size = __builtin_bswap32(size), be_count = __builtin_bswap32(fw->files);
    u16 be_key = __builtin_bswap16((u16)(FW_CFG_FILE_FIRST + n));
    memcpy(e + ENTRY_SIZE, &be_size, sizeof(be_size));
    memcpy(e + ENTRY_KEY, &be_key, sizeof(be_key));
    memcpy(e + ENTRY_NAME, fw->file_name[n], sizeof(fw->file_name[n]));
    memcpy(fw->directory, &be_count, sizeof(be_count));
    fw_cfg_set(fw, FW_CFG_FILE_DIR, fw->directory, (u32)sizeof(u32) + fw->files * FW_CFG_ENTRY);
    return 0;
}

static void fw_cfg_reset(void *dev)
{
    struct fw_cfg *fw = dev;
    key_select(fw, 0);
    fw->dma_address = 0;
}

void fw_cfg_init(struct fw_cfg *fw, const struct fw_cfg_config *config)
{
    *fw = (struct fw_cfg){.config = *config};
    fw_cfg_set(fw, FW_CFG_SIGNATURE, "QEMU", 4);
    fw_cfg_set_number(fw, FW_CFG_ID, FW_CFG_ID_TRADITIONAL | (config->ram ? FW_CFG_ID_DMA : 0), 4);
    fw_cfg_set_number(fw, FW_CFG_RAM_SIZE, config->ram_size, 8);
    fw_cfg_set_number(fw, FW_CFG_NB_CPUS, config->vcpus, 2);
    fw_cfg_set_number(fw, FW_CFG_MAX_CPUS, config->vcpus, 2);
    fw_cfg_set(fw, FW_CFG_FILE_DIR, fw->directory, 4);
}

static const struct state_field fields[] = {
    STATE_FIELD("key", u16, struct fw_cfg, key),
    STATE_FIELD("offset", u32, struct fw_cfg, offset),
    STATE_FIELD("dma_address", u64, struct fw_cfg, dma_address),
};
static const struct state_layout layout = STATE_LAYOUT(1, fields);

static void fw_cfg_state(void *dev, struct state *s, const char *name)
{
    state_section(s, name, NULL, &layout, dev);
}

const struct device_ops fw_cfg_device = {
    .size = sizeof(struct fw_cfg),
    .reset = fw_cfg_reset,
    .state = fw_cfg_state,
};
