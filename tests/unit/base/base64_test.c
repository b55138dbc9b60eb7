/*
 * Base 64, with the vectors of RFC 4648, "Test Vectors".
 */
#include "base/base64.h"

#include "unit/test.h"

#include <string.h>

int main(void)
{
    static const char *const vectors[][2] = {{"", ""},
                                             {"f", "Zg=="},
                                             {"fo", "Zm8="},
                                             {"foo", "Zm9v"},
                                             {"foob", "Zm9vYg=="},
                                             {"fooba", "Zm9vYmE="},
                                             {"foobar", "Zm9vYmFy"}};
    char text[1024];
    u8 bytes[256], back[256 + 3];

    TEST("the vectors of the RFC, both ways");
    for (u32 i = 0; i < ARRAY_LEN(vectors); i++) {
        size_t length = strlen(vectors[i][0]);
        base64_encode(vectors[i][0], length, text);
        CHECK(!strcmp(text, vectors[i][1]));
        CHECK_EQ(base64_length(length), strlen(text));
        CHECK_EQ(base64_decode(text, strlen(text), back), length);
        CHECK(!memcmp(back, vectors[i][0], length));
    }

    TEST("all bytes, and what is none of base 64 ends it");
    for (u32 i = 0; i < 256; i++)
        bytes[i] = (u8)i;
    base64_encode(bytes, 256, text);
    CHECK_EQ(base64_decode(text, strlen(text), back), 256);
    CHECK(!memcmp(bytes, back, 256));
    CHECK_EQ(base64_decode("Zm9v\nZm9v", 9, back), 3);
    return TEST_END();
}
