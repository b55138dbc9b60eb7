/*
 * Which names are allowed, and that their case does not count.
 */
#include "rules/name.h"

#include "unit/test.h"

#include <errno.h>
#include <string.h>

static struct error error;

static void test_allowed(void)
{
    static const char *const good[] = {"a", "7", "Lab1", "my switch", "a.b-c_d", "x.json"};
    static const char *const bad[] = {"",    ".",   "..",  ".a",  "a.",   "a/b",    "../a",
                                      " a",  "a ",  "-a",  "a-",  "a\nb", "a\033b", "\303\244",
                                      "a'b", "a;b", "a,b", "a=b", "a\\b", "a\"b",   "a$b"};
    char longest[NAME_MAX_LEN + 2];
    TEST("allowed names");
    for (unsigned i = 0; i < ARRAY_LEN(good); i++)
        CHECK_EQ(name_check("a switch", good[i], &error), 0);
    memset(longest, 'x', sizeof(longest));
    longest[NAME_MAX_LEN] = 0;
    CHECK_EQ(name_check("a switch", longest, &error), 0);

    TEST("refused names");
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        CHECK_EQ(name_check("a switch", bad[i], &error), -EINVAL);
        CHECK(strstr(error.text, "a switch"));
    }
    longest[NAME_MAX_LEN] = 'x';
    longest[NAME_MAX_LEN + 1] = 0;
    CHECK_EQ(name_check("a switch", longest, &error), -EINVAL);
    CHECK(strstr(error.text, "at most 64 characters"));
}

static void test_case(void)
{
    char folded[NAME_MAX_LEN + 1];
    TEST("case does not count");
    CHECK(name_equal("Lab-1", "lAB-1") && !name_equal("Lab", "Lab1") && !name_equal("Lab1", "Lab") &&
          name_equal("", ""));
    name_fold("Lab Z_9", folded);
    CHECK(strcmp(folded, "lab z_9") == 0);
}

int main(void)
{
    test_allowed();
    test_case();
    return TEST_END();
}
