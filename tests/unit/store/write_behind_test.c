/*
 * A file that a thread writes.
 */
#include "store/write_behind.h"

#include "store/file.h"
#include "unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[64];
static struct error error;

static bool has(const char *want)
{
    char *text;
    bool same = file_read_text(AT_FDCWD, path, &text, &error) == 0 && strcmp(text, want) == 0;
    free(text);
    return same;
}

int main(void)
{
    char folder[] = "/tmp/write_behind_test.XXXXXX", text[32];
    if (!mkdtemp(folder))
        return 1;
    snprintf(path, sizeof(path), "%s/file", folder);

    TEST("the last text is on the disk when it ends");
    struct write_behind *w = write_behind_new(path);
    for (int i = 0; i < 500; i++) {
        snprintf(text, sizeof(text), "text %d\n", i);
        write_behind_put(w, strdup(text));
    }
    write_behind_free(w);
    CHECK(has("text 499\n"));

    TEST("without a text the file stays");
    write_behind_free(write_behind_new(path));
    CHECK(has("text 499\n"));

    TEST("how it went is known, and a later success counts");
    unlink(path);
    CHECK(mkdir(path, 0700) == 0);
    w = write_behind_new(path);
    write_behind_put(w, strdup("x"));
    for (int i = 0; i < 1000 && (write_behind_result(w, &error), !error.code); i++)
        usleep(1000);
    CHECK(error.code == -EISDIR && strstr(error.text, path));
    CHECK(rmdir(path) == 0);
    write_behind_put(w, strdup("y"));
    for (int i = 0; i < 1000 && (write_behind_result(w, &error), error.code); i++)
        usleep(1000);
    CHECK_EQ(error.code, 0);
    write_behind_free(w);
    CHECK(has("y"));
    CHECK(unlink(path) == 0 && rmdir(folder) == 0);
    return TEST_END();
}
