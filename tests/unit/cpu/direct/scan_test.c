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

static bool finds(const void *bytes, u32 size, u32 at, u32 what)
{
    fill();
    memcpy(page + at, bytes, size);
    return scan_finds(page, SIZE, 0, SIZE, what);
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
        {"RDTSCP", {0x0f, 0x01, 0xf9}, 3},
        {"IRETQ", {0x48, 0xcf}, 2},
    };
    TEST("what is refused is found, wherever it begins");
    for (u32 i = 0; i < ARRAY_LEN(refused); i++)
        for (u32 at = 0; at + refused[i].size <= SIZE; at += 5) {
            bool found = finds(refused[i].bytes, refused[i].size, at, SCAN_RDTSCP);
            CHECK(found);
            if (!found)
                printf("# %s at %u\n", refused[i].name, at);
        }

    TEST("ordinary code has none");
    CHECK(!finds("", 0, 0, SCAN_XSAVE));
    TEST("bytes of other instructions are none");
    CHECK(!finds((u8[]){0xe8, 0x34, 0x0f, 0x00, 0x00}, 5, 100, SCAN_XSAVE)); /* CALL */
    CHECK(!finds((u8[]){0xb8, 0x0f, 0xa2, 0x0f, 0x34}, 5, 100, SCAN_XSAVE)); /* MOV of a constant */
    CHECK(!finds((u8[]){0x83, 0xe0, 0x0f, 0x01, 0xd0, 0x48, 0x89, 0x44, 0x24, 8}, 10, 100,
                 SCAN_XSAVE)); /* AND 0Fh, ADD */
    TEST("nor are they where decoding that begins nearby does not fall into step: constants, displacements");
    static const u8 slow[] = {
        0x48, 0x83, 0xbd, 0xd0, 0xfa, 0xff, 0xff, 0x00, 0x0f, 0x85, 0x9f, 0x13, 0x00, 0x00, 0x48, 0x8d,
        0x85, 0x10, 0xfc, 0xff, 0xff, 0x48, 0x83, 0xbd, 0x90, 0xfb, 0xff, 0xff, 0x00, 0x48, 0xc7, 0x85,
        0xf0, 0xef, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0x48, 0x89, 0x85, 0x88, 0xf0, 0xff, 0xff, 0x0f,
        0x85, 0x10, 0x12, 0x00, 0x00, 0x48, 0x8d, 0x85, 0xd0, 0xfc, 0xff, 0xff, 0x48, 0x83, 0xbd, 0x50,
        0xfc, 0xff, 0xff, 0x00, 0x48, 0xc7, 0x85, 0xd8, 0xf0, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0x4c,
        0x8d, 0xb5, 0x90, 0xfd, 0xff, 0xff, 0x48, 0xc7, 0x85, 0xe0, 0xf0, 0xff, 0xff, 0x00, 0x00, 0x00,
        0x00, 0x48, 0x89, 0x85, 0x10, 0xf0, 0xff, 0xff, 0x0f, 0x85, 0xe7, 0x0f, 0x00, 0x00,
    };
    CHECK(!finds(slow, sizeof slow, 100, SCAN_XSAVE));
    TEST("nor at the end, in an instruction that goes on behind it");
    CHECK(!finds((u8[]){0xbe, 0x0f, 0x00, 0x00}, 4, SIZE - 4, SCAN_XSAVE));
    TEST("XSAVE and XRSTOR only if they count");
    const u8 xsavec[] = {0x48, 0x0f, 0xc7, 0x24, 0x24}, xrstor[] = {0x48, 0x0f, 0xae, 0x2c, 0x24};
    CHECK(finds(xsavec, 5, 50, SCAN_XSAVE) && !finds(xsavec, 5, 50, 0));
    CHECK(finds(xrstor, 5, 50, SCAN_XSAVE) && !finds(xrstor, 5, 50, 0));
    TEST("instructions that begin outside of the range do not count");
    fill();
    memcpy(page + 100, (u8[]){0x0f, 0xa2}, 2);
    CHECK(!scan_finds(page, SIZE, 0, 100, 0) && !scan_finds(page, SIZE, 101, SIZE, 0));
    CHECK(scan_finds(page, SIZE, 100, 101, 0));
    TEST("RDTSCP only if it counts");
    CHECK(!finds((u8[]){0x0f, 0x01, 0xf9}, 3, 50, SCAN_XSAVE));
    TEST("where some begin is said, if they are few");
    u32 at[3];
    fill();
    memcpy(page + 100, (u8[]){0x66, 0x0f, 0xa2}, 3);
    memcpy(page + 150, (u8[]){0x0f, 0x01, 0xd0}, 3);
    CHECK(scan_list(page, SIZE, 0, SIZE, SCAN_XSAVE, at, 3) == 2 && at[0] == 100 && at[1] == 150);
    CHECK(scan_list(page, SIZE, 0, SIZE, SCAN_XSAVE, at, 1) == ~0u);
    CHECK(scan_list(page, SIZE, 0, 100, SCAN_XSAVE, at, 3) == 0);
    TEST("but not where a process cannot stop: behind what may change, behind MOV SS, before XSAVE");
    CHECK(scan_list(page, SIZE, 101, SIZE, 0, at, 3) == ~0u);
    CHECK(scan_list(page, SIZE, 98, SIZE, 0, at, 3) == ~0u);
    memcpy(page + 200, xsavec, sizeof xsavec);
    CHECK(scan_list(page, SIZE, 0, SIZE, SCAN_XSAVE, at, 3) == ~0u && scan_list(page, SIZE, 0, SIZE, 0, at, 3) == 2);
    static const struct {
        u8 bytes[9];
        u32 size;
    } mov_ss[] = {{{0x8e, 0xd0}, 2}, {{0x8e, 0x54, 0x24, 0x08}, 4}, {{0x41, 0x8e, 0x94, 0x24, 0, 1, 0, 0}, 8}};
    for (u32 i = 0; i < ARRAY_LEN(mov_ss); i++) {
        fill();
        memcpy(page + 100, mov_ss[i].bytes, mov_ss[i].size);
        memcpy(page + 100 + mov_ss[i].size, (u8[]){0x0f, 0xa2}, 2);
        CHECK(scan_list(page, SIZE, 0, SIZE, 0, at, 3) == ~0u);
    }
    return TEST_END();
}
