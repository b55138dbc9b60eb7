/*
 * The search for instructions that the host's CPU must not execute: each is found, also in the midst of other code, and
 * its bytes are not found where they are a part of another instruction.
 */
#include "cpu/direct/scan.h"

#include <string.h>

#include "unit/test.h"

#define SIZE 256u

static u8 page[SIZE];

/* Ordinary code: MOV [RSP+8], RAX again and again. */
static void fill(void)
{
    static const u8 code[] = {0x48, 0x89, 0x44, 0x24, 0x08};
    for (u32 i = 0; i < SIZE; i++)
        page[i] = code[i % sizeof code];
}

static bool finds(const void *bytes, u32 size, u32 at, bool xsave)
{
    fill();
    memcpy(page + at, bytes, size);
    return scan_finds(page, SIZE, 0, SIZE, xsave);
}

int main(void)
{
    static const struct {
        const char *name;
        u8 bytes[8];
        u32 size;
    } refused[] = {
        {"CPUID", {0x0f, 0xa2}, 2},
        {"CPUID with prefixes", {0x66, 0xf2, 0x0f, 0xa2}, 4},
        {"SGDT", {0x0f, 0x01, 0x04, 0x24}, 4},
        {"SIDT", {0x0f, 0x01, 0x0c, 0x24}, 4},
        {"SMSW", {0x0f, 0x01, 0xe0}, 3},
        {"SLDT", {0x0f, 0x00, 0xc0}, 3},
        {"STR", {0x0f, 0x00, 0xc8}, 3},
        {"VERR", {0x0f, 0x00, 0xe0}, 3},
        {"VERW", {0x0f, 0x00, 0x2c, 0x24}, 4},
        {"LAR", {0x0f, 0x02, 0xc0}, 3},
        {"LSL", {0x0f, 0x03, 0xc0}, 3},
        {"SYSENTER", {0x0f, 0x34}, 2},
        {"INT 80h", {0xcd, 0x80}, 2},
        {"RDPID", {0xf3, 0x0f, 0xc7, 0xf8}, 4},
        {"XGETBV", {0x0f, 0x01, 0xd0}, 3},
        {"RDPKRU", {0x0f, 0x01, 0xee}, 3},
        {"WRPKRU", {0x0f, 0x01, 0xef}, 3},
        {"VMCALL", {0x0f, 0x01, 0xc1}, 3},
        {"VMMCALL", {0x0f, 0x01, 0xd9}, 3},
    };
    TEST("what is refused is found, wherever it begins");
    for (u32 i = 0; i < ARRAY_LEN(refused); i++)
        for (u32 at = 0; at + refused[i].size <= SIZE; at += 5) {
            bool found = finds(refused[i].bytes, refused[i].size, at, false);
            CHECK(found);
            if (!found)
                printf("# %s at %u\n", refused[i].name, at);
        }

    TEST("ordinary code has none");
    CHECK(!finds("", 0, 0, true));
    TEST("bytes of other instructions are none");
    CHECK(!finds((u8[]){0xe8, 0x34, 0x0f, 0x00, 0x00}, 5, 100, true)); /* CALL */
    CHECK(!finds((u8[]){0xb8, 0x0f, 0xa2, 0x0f, 0x34}, 5, 100, true)); /* MOV of a constant */
    CHECK(!finds((u8[]){0x83, 0xe0, 0x0f, 0x01, 0xd0, 0x48, 0x89, 0x44, 0x24, 8}, 10, 100, true)); /* AND 0Fh, ADD */
    TEST("XSAVE and XRSTOR only if they count");
    const u8 xsavec[] = {0x48, 0x0f, 0xc7, 0x24, 0x24}, xrstor[] = {0x48, 0x0f, 0xae, 0x2c, 0x24};
    CHECK(finds(xsavec, 5, 50, true) && !finds(xsavec, 5, 50, false));
    CHECK(finds(xrstor, 5, 50, true) && !finds(xrstor, 5, 50, false));
    TEST("instructions that begin outside of the range do not count");
    fill();
    memcpy(page + 100, (u8[]){0x0f, 0xa2}, 2);
    CHECK(!scan_finds(page, SIZE, 0, 100, false) && !scan_finds(page, SIZE, 101, SIZE, false));
    CHECK(scan_finds(page, SIZE, 100, 101, false));
    return TEST_END();
}
