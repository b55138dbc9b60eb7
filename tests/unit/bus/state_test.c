/*
 * The saved-state stream: what it looks like byte by byte, what a program of another version makes of it, and that
 * damage is found.
 */
#include "bus/state.h"
#include "unit/test.h"

#include <errno.h>
#include <string.h>

struct thing {
    u32 size;
    u8 letters[3];
    bool on;
    u64 address;
};

static const struct state_field fields[] = {
    STATE_FIELD("size", u32, struct thing, size),
    STATE_FIELD("letters", u8[3], struct thing, letters),
    STATE_FIELD("on", bool, struct thing, on),
    STATE_FIELD("address", u64, struct thing, address),
};
static const struct state_layout layout = STATE_LAYOUT(2, fields);

/* The same on disk, with all members renamed and moved. */
struct renamed {
    u64 where;
    bool lit;
    u32 extent;
    u8 text[3];
};
static const struct state_field renamed_fields[] = {
    STATE_FIELD("size", u32, struct renamed, extent),
    STATE_FIELD("letters", u8[3], struct renamed, text),
    STATE_FIELD("on", bool, struct renamed, lit),
    STATE_FIELD("address", u64, struct renamed, where),
};
static const struct state_layout renamed_layout = STATE_LAYOUT(2, renamed_fields);

static const struct thing example = {0x12345678, {'a', 'b', 'c'}, true, 0x1122334455667788};

/* "thing.left" in the stream. Whoever must change this changes what older streams mean. */
/* clang-format off */
static const u8 golden[] = {
    'N', 'B', 'S', '1',                                                     /* magic */
    'S', 10, 't', 'h', 'i', 'n', 'g', '.', 'l', 'e', 'f', 't', 2, 0, 0, 0,  /* section, version */
    56, 0, 0, 0,                                                            /* length of the body */
    4, 's', 'i', 'z', 'e', 4, 0, 0, 0, 0x78, 0x56, 0x34, 0x12,              /* u32 */
    7, 'l', 'e', 't', 't', 'e', 'r', 's', 3, 0, 0, 0, 'a', 'b', 'c',        /* u8[3] */
    2, 'o', 'n', 1, 0, 0, 0, 1,                                             /* bool */
    7, 'a', 'd', 'd', 'r', 'e', 's', 's', 8, 0, 0, 0,                       /* u64 */
    0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
};
/* clang-format on */

struct stream {
    u8 bytes[512];
    size_t size;
};

static struct stream saved(const char *part, const struct state_layout *as, const void *object)
{
    struct stream stream = {.size = 0};
    struct state *s = state_save_begin();
    CHECK(state_saving(s));
    CHECK_EQ(state_section(s, "thing", part, as, (void *)(uintptr_t)object), as->version);
    const void *bytes = state_bytes(s, &stream.size);
    memcpy(stream.bytes, bytes, stream.size);
    state_free(s);
    return stream;
}

/* Returns the version found, or the error. */
static int load(const void *bytes, size_t size, const char *part, const struct state_layout *as, void *object)
{
    struct state *s = state_load_begin(bytes, size);
    CHECK(!state_saving(s));
    int version = (int)state_section(s, "thing", part, as, object);
    int error = state_error(s);
    state_free(s);
    return error ? error : version;
}

static void test_format(void)
{
    TEST("the stream is this, byte by byte");
    struct stream stream = saved("left", &layout, &example);
    CHECK_EQ(stream.size, sizeof(golden));
    CHECK(memcmp(stream.bytes, golden, sizeof(golden)) == 0);

    TEST("renaming and moving members changes nothing on disk");
    struct renamed renamed = {.where = example.address, .lit = true, .extent = example.size, .text = {'a', 'b', 'c'}};
    stream = saved("left", &renamed_layout, &renamed);
    CHECK(stream.size == sizeof(golden) && memcmp(stream.bytes, golden, sizeof(golden)) == 0);

    TEST("fields return");
    struct thing got = {0};
    CHECK_EQ(load(golden, sizeof(golden), "left", &layout, &got), 2);
    CHECK(got.size == example.size && got.on && got.address == example.address);
    CHECK(memcmp(got.letters, example.letters, sizeof(got.letters)) == 0);

    TEST("sections are found by name, in any order");
    struct state *s = state_save_begin();
    struct thing other = {.size = 7};
    state_section(s, "thing", "left", &layout, &other);
    state_section(s, "thing", NULL, &layout, (void *)(uintptr_t)&example);
    size_t size;
    const void *bytes = state_bytes(s, &size);
    CHECK_EQ(load(bytes, size, NULL, &layout, &got), 2);
    CHECK_EQ(got.size, example.size);
    CHECK_EQ(load(bytes, size, "left", &layout, &got), 2);
    CHECK_EQ(got.size, 7);
    CHECK_EQ(load(bytes, size, "right", &layout, &got), 0);
    CHECK_EQ(got.size, 7);
    state_free(s);

    TEST("any byte but 0 is a true bool");
    struct stream odd = {.size = sizeof(golden)};
    memcpy(odd.bytes, golden, sizeof(golden));
    u8 *on = memchr(odd.bytes, 'o', sizeof(golden));
    on[6] = 0x40;
    CHECK_EQ(load(odd.bytes, odd.size, "left", &layout, &got), 2);
    u8 byte;
    memcpy(&byte, &got.on, 1);
    CHECK_EQ(byte, 1);
}

static void test_versions(void)
{
    static const struct state_layout shorter = {2, 2, fields}, newer = STATE_LAYOUT(3, fields), old = {1, 4, fields};
    struct thing got = {.on = true, .address = 5};

    TEST("a missing field keeps its value");
    struct stream stream = saved(NULL, &shorter, &example);
    CHECK_EQ(load(stream.bytes, stream.size, NULL, &layout, &got), 2);
    CHECK(got.size == example.size && got.on && got.address == 5);

    TEST("an unknown field is skipped");
    got = (struct thing){.address = 5};
    stream = saved(NULL, &layout, &example);
    CHECK_EQ(load(stream.bytes, stream.size, NULL, &shorter, &got), 2);
    CHECK(got.size == example.size && !got.on && got.address == 5);

    TEST("the device learns of an older version, and a newer one is refused");
    stream = saved(NULL, &old, &example);
    CHECK_EQ(load(stream.bytes, stream.size, NULL, &layout, &got), 1);
    got = (struct thing){0};
    stream = saved(NULL, &newer, &example);
    CHECK_EQ(load(stream.bytes, stream.size, NULL, &layout, &got), -EPROTO);
    CHECK_EQ(got.size, 0);
}

static void test_damage(void)
{
    static const struct state_field wide_fields[] = {STATE_FIELD("size", u32, struct thing, size),
                                                     STATE_FIELD("on", u64, struct thing, address)};
    static const struct state_layout wide = STATE_LAYOUT(2, wide_fields);
    struct thing got = {.size = 1};

    TEST("a field of another width is an error, and nothing is loaded");
    CHECK_EQ(load(golden, sizeof(golden), "left", &wide, &got), -EBADMSG);
    CHECK_EQ(got.size, 1);

    TEST("truncated and damaged streams never overrun");
    for (size_t n = 0; n < sizeof(golden); n++)
        CHECK_EQ(load(golden, n, "left", &layout, &got), n == 4 ? 0 : -EBADMSG);
    for (size_t n = 0; n < sizeof(golden); n++) {
        u8 copy[sizeof(golden)];
        memcpy(copy, golden, sizeof(golden));
        for (unsigned bit = 0; bit < 8; bit++) {
            copy[n] = golden[n] ^ (u8)BIT(bit);
            load(copy, sizeof(copy), "left", &layout, &got);
        }
    }
}

int main(void)
{
    test_format();
    test_versions();
    test_damage();
    return TEST_END();
}
