#include "bus/state.h"
#include "unit/test.h"

#include <errno.h>
#include <string.h>

struct thing {
    u32 a;
    u8 b[5];
    bool c;
};

static u32 thing_state(struct thing *t, struct state *s, const char *name, bool with_c)
{
    u32 version = state_section(s, name, 2);
    STATE_FIELD(s, t, a);
    STATE_FIELD(s, t, b);
    if (with_c)
        STATE_FIELD(s, t, c);
    return version;
}

int main(void)
{
    struct thing one = {0x12345678, {1, 2, 3, 4, 5}, true}, two = {7, {9}, false}, got = {0};
    struct state *s = state_save_begin();
    thing_state(&one, s, "one", true);
    thing_state(&two, s, "two", false);
    size_t size;
    const u8 *bytes = state_bytes(s, &size);
    u8 copy[512];
    memcpy(copy, bytes, size);
    state_free(s);

    TEST("fields return, in any order of sections");
    s = state_load_begin(copy, size);
    CHECK(!state_saving(s));
    got.c = true;
    CHECK_EQ(thing_state(&got, s, "two", true), 2);
    CHECK_EQ(got.a, 7);
    CHECK(got.c); /* missing: kept */
    CHECK_EQ(thing_state(&got, s, "one", true), 2);
    CHECK(got.a == one.a && memcmp(got.b, one.b, 5) == 0 && got.c);
    got.a = 1;
    CHECK_EQ(thing_state(&got, s, "three", true), 0);
    CHECK_EQ(got.a, 1);
    CHECK_EQ(state_error(s), 0);

    TEST("a field of another size is an error");
    CHECK_EQ(state_section(s, "one", 2), 2);
    u64 wrong;
    state_bytes_field(s, "a", &wrong, sizeof(wrong));
    CHECK_EQ(state_error(s), -EBADMSG);
    state_free(s);

    TEST("truncated and damaged streams never overrun");
    for (size_t n = 0; n < size; n++) {
        s = state_load_begin(copy, n);
        thing_state(&got, s, "one", true);
        thing_state(&got, s, "two", true);
        state_free(s);
    }
    for (size_t n = 0; n < size; n++) {
        u8 old = copy[n];
        copy[n] ^= 0x80;
        s = state_load_begin(copy, size);
        thing_state(&got, s, "one", true);
        thing_state(&got, s, "two", true);
        state_free(s);
        copy[n] = old;
    }
    s = state_load_begin(copy, 3);
    CHECK_EQ(state_error(s), -EBADMSG);
    state_free(s);
    return TEST_END();
}
