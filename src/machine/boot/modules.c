/*
 * Puts modules into guest memory. They follow the kernel directly, as with boot loaders on PCs: some kernels count on
 * that.
 */
#include "machine/boot/modules.h"

#include <errno.h>
#include <string.h>

#define AREA_ALIGN 16

u64 boot_area_take(struct boot_area *area, u64 size, void **at)
{
    u64 start = align_up(area->next, AREA_ALIGN);
    void *p = NULL;
    if (size <= BOOT_INFO_SIZE && start + size <= area->end)
        p = ram_pointer(area->layout->ram, GPA(start), size);
    if (at)
        *at = p;
    if (!p) {
        area->overflow = true;
        return 0;
    }
    memset(p, 0, size);
    area->next = start + size;
    return start;
}

u64 boot_area_string(struct boot_area *area, const char *text)
{
    void *to;
    u64 size = strlen(text) + 1, start = boot_area_take(area, size, &to);
    if (to)
        memcpy(to, text, size);
    return start;
}

int boot_modules_load(const struct boot *b, const struct layout *layout, u64 from, bool joined,
                      struct boot_placed *placed, u32 *count, struct error *error)
{
    u64 next = align_up(from, PAGE_SIZE);
    *count = 0;
    for (u32 i = 0; i < b->modules; i++) {
        const struct boot_file *file = &b->module[i].file;
        u64 start = align_up(next, joined && i ? BOOT_INITRD_ALIGN : PAGE_SIZE);
        bool fits = start >= layout->low || start + file->size <= layout->acpi;
        if (!fits || !ram_write(layout->ram, GPA(start), file->data, file->size)) {
            error_set(error, -ENOMEM, "%s: %llu MiB do not fit into %llu MiB of memory", b->module[i].name,
                      (unsigned long long)(file->size + (1 << 20) - 1) >> 20, (unsigned long long)layout->size >> 20);
            return error_hint(error, "give more with " SETTING("memory"));
        }
        boot_file_release(file);
        next = start + file->size;
        if (joined && i)
            placed[0].size = next - placed[0].start;
        else
            placed[(*count)++] = (struct boot_placed){start, file->size};
    }
    return 0;
}
