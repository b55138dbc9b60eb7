/*
 * Each reason to drop a frame has a name of its own and a meaning.
 */
#include "net/drop.h"

#include "unit/test.h"

#include <string.h>

int main(void)
{
    TEST("each row has a name of its own, a meaning, and a remedy that names at most the card");
    for (unsigned i = 0; i < DROPS; i++) {
        const struct drop_row *row = &drop_rows[i];
        CHECK(row->name && *row->name && row->meaning && *row->meaning);
        for (unsigned j = 0; j < i; j++)
            CHECK(strcmp(row->name, drop_rows[j].name));
        const char *percent = row->remedy ? strchr(row->remedy, '%') : NULL;
        CHECK(!row->remedy || (percent && percent[1] == 's' && !strchr(percent + 1, '%')));
    }

    return TEST_END();
}
