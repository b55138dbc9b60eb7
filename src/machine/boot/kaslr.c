/*
 * Where a Linux kernel goes whose place is random, by the rules of the kernel's own decompressor: each multiple of the
 * alignment in RAM that is free is as likely as the others, and the virtual address is chosen by itself. Source: Linux,
 * arch/x86/boot/compressed.
 */
#include "machine/boot/kaslr.h"

#include "machine/boot/vmlinux.h"

#include <string.h>
#include <sys/random.h>

#define LOWEST_MAX (512ull << 20) /* the lowest place is not above */
#define HIGHEST BOOT_MAPPED_MAX   /* where page tables reach */

/* Calls `is` for each word of a command line. */
static bool any_word(const char *line, bool (*is)(const char *word, size_t length))
{
    while (*(line += strspn(line, " \t\n"))) {
        size_t length = strcspn(line, " \t\n");
        if (is(line, length))
            return true;
        line += length;
    }
    return false;
}

static bool is_nokaslr(const char *word, size_t length)
{
    return length == 7 && memcmp(word, "nokaslr", 7) == 0;
}

/* With quotes it is the kernel that knows where words end. */
static bool is_limit(const char *word, size_t length)
{
    static const char *const limits[] = {"mem=", "memmap=", "hugepages=", "movable_node", "\""};
    for (size_t i = 0; i < ARRAY_LEN(limits); i++)
        if (strncmp(word, limits[i], strlen(limits[i])) == 0)
            return true;
    return memchr(word, '"', length);
}

bool kaslr_refused(const char *command_line)
{
    return any_word(command_line, is_nokaslr);
}

bool kaslr_limited(const char *command_line)
{
    return any_word(command_line, is_limit);
}

/* Returns how many places a kernel has from `start` to `end`; the first is at *first. */
static u64 places(const struct kaslr *k, u64 start, u64 end, u64 *first)
{
    *first = align_up(start, k->align);
    return *first < end && end - *first >= k->size ? 1 + (end - *first - k->size) / k->align : 0;
}

/* Returns how many places there are in RAM, or the `index`-th of them. */
static u64 find(const struct kaslr *k, const struct layout *layout, const struct boot_range *taken, u64 lowest,
                const u64 *index)
{
    u64 count = 0, first;
    for (u32 i = 0; i < layout->e820_count; i++) {
        const struct e820_entry *e = &layout->e820[i];
        u64 start = e->start > lowest ? e->start : lowest, end = e->start + e->size;
        end = end < HIGHEST ? end : HIGHEST;
        const struct boot_range part[] = {{start, end < taken->start ? end : taken->start},
                                          {start > taken->end ? start : taken->end, end}};
        for (size_t j = 0; e->type == E820_RAM && j < ARRAY_LEN(part); j++) {
            u64 n = places(k, part[j].start, part[j].end, &first);
            if (index && *index - count < n)
                return first + (*index - count) * k->align;
            count += n;
        }
    }
    return count;
}

bool kaslr_choose(struct kaslr *k, const struct layout *layout, const struct boot_range *taken)
{
    u64 random[2], first;
    if (getrandom(random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
        return false;
    u64 lowest = k->physical < LOWEST_MAX ? k->physical : LOWEST_MAX;
    u64 count = find(k, layout, taken, lowest, NULL);
    if (count) {
        random[0] %= count;
        k->physical = find(k, layout, taken, lowest, &random[0]);
    }
    count = places(k, k->link, VMLINUX_VIRTUAL_SIZE, &first);
    k->moved = count ? random[1] % count * k->align : 0;
    return true;
}
