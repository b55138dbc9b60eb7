/*
 * Copying of trees: what arrives, and what a sender that means harm cannot do.
 */
#include "agent/frame.h"
#include "agent/tree.h"

#include "unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char work[] = "/tmp/nestbox-tree-XXXXXX", complaint[512];

static void note(struct tree *tree, const char *path, const char *reason)
{
    snprintf(complaint, sizeof(complaint), "%s: %s", path, reason);
}

struct sending {
    struct tree tree;
    const char *path;
    int to, status;
};

static void *send_it(void *opaque)
{
    struct sending *s = opaque;
    s->status = tree_send(&s->tree, s->path, s->to);
    close(s->to);
    return NULL;
}

/* Returns the number of complaints, or -1: the stream broke. */
static int copy(const char *from, const char *to, bool recursive)
{
    int fd[2];
    pthread_t thread;
    complaint[0] = 0;
    if (pipe(fd))
        return -1;
    struct sending s = {{.complain = note, .recursive = recursive}, from, fd[1]};
    struct tree receiving = {.complain = note};
    pthread_create(&thread, NULL, send_it, &s);
    int e = tree_receive(&receiving, fd[0], to);
    close(fd[0]);
    pthread_join(thread, NULL);
    return e || s.status ? -1 : (int)(s.tree.complaints + receiving.complaints);
}

static int shell(const char *command)
{
    return system(command); /* NOLINT */
}

/* Receives made-up entries; returns what tree_receive does. */
static u8 bytes[1 << 16];
static u32 used;

static void put(u8 kind, const char *name, const char *target, u64 size)
{
    u8 *head = bytes + used;
    memset(head, 0, TREE_HEAD);
    head[0] = kind;
    put_number(head + 2, strlen(name), 2);
    put_number(head + 4, strlen(target), 2);
    put_number(head + 8, 0755, 4);
    put_number(head + 24, size, 8);
    used += TREE_HEAD;
    memcpy(bytes + used, name, strlen(name));
    used += (u32)strlen(name);
    memcpy(bytes + used, target, strlen(target));
    used += (u32)strlen(target);
    memset(bytes + used, 0, size + 1);
    used += kind == TREE_FILE ? (u32)size + 1 : 0;
}

static int take(const char *to)
{
    int fd[2];
    struct tree receiving = {.complain = note};
    if (pipe(fd) || write(fd[1], bytes, used) != (ssize_t)used)
        return -1000;
    close(fd[1]);
    int e = tree_receive(&receiving, fd[0], to);
    close(fd[0]);
    used = 0;
    return e ? e : (int)receiving.complaints;
}

static void test_copies(void)
{
    TEST("a tree arrives as it is, with odd names, times, modes and links");
    CHECK(shell("mkdir -p 'a/d 1/e' a/empty && printf x >\"a/d 1/$(printf 'new\\nline')\" && printf y >'a/d 1/e/-rf *' "
                "&& : >a/none && ln -s ../nowhere a/link && ln -s 'd 1' a/dir && head -c 300000 /dev/urandom >a/big && "
                "chmod 640 a/big && chmod 500 a/empty && touch -d 2001-02-03 a/big a/empty && touch -d 1960-01-01 "
                "a/none") == 0);
    CHECK_EQ(copy("a", "b", true), 0);
    CHECK(shell("list() { (cd $1 && find . -printf '%p %y %l %m %T@ %s\\n' | sed '/ d /s/ [0-9]*$//' | sort); }; "
                "list a >l1; list b >l2; cmp l1 l2 && diff -r --no-dereference a b") == 0);

    TEST("into a folder that is there it goes under its name, and what is in it by a dot");
    CHECK_EQ(copy("a", "b", true), 0);
    CHECK(access("b/a/big", F_OK) == 0);
    CHECK(mkdir("c", 0711) == 0);
    CHECK_EQ(copy("a/.", "c", true), 0);
    struct stat st;
    CHECK(access("c/big", F_OK) == 0 && stat("c", &st) == 0 && (st.st_mode & 0777) == 0711);
    CHECK_EQ(copy("a/big", "c/other", false), 0);
    CHECK(shell("cmp a/big c/other") == 0);
    CHECK_EQ(copy("a/big", "c", false), 0);

    TEST("a file that is there is replaced as a whole, and a link is not followed");
    CHECK(shell("echo old >old && ln -sf ../old c/big") == 0);
    CHECK_EQ(copy("a/big", "c/big", false), 0);
    CHECK(shell("cmp a/big c/big && grep -q old old && ! ls -A c | grep -q nestbox-") == 0);

    TEST("what cannot be copied is complained of, and the rest arrives");
    CHECK_EQ(copy("a", "x", false), 1);
    CHECK(strstr(complaint, "a: it is a folder"));
    CHECK(shell("mkdir s && mkfifo s/pipe && echo 1 >s/z && mkdir -p t/s/z") == 0);
    CHECK_EQ(copy("s", "t", true), 2); /* the pipe, and a folder in the file's place */
    CHECK_EQ(copy("none-such", "y", true), 1);
    CHECK(copy("a/big", "no/such/folder", false) == -1 && strstr(complaint, "no/such/folder: No such"));
}

static void test_harm(void)
{
    TEST("names that lead elsewhere break the stream");
    static const char *const names[] = {"../out", "..", ".", "a/b", "/etc"};
    CHECK(mkdir("h", 0755) == 0);
    for (u32 i = 0; i < ARRAY_LEN(names); i++) {
        put(TREE_FILE, names[i], "", 1);
        CHECK_EQ(take("h"), -EPROTO);
        put(TREE_FOLDER, "d", "", 0);
        put(TREE_FILE, names[i], "", 1);
        CHECK_EQ(take("h"), -EPROTO);
    }

    TEST("nothing goes through a link that came before");
    put(TREE_FOLDER, "d", "", 0);
    put(TREE_LINK, "l", "..", 0);
    put(TREE_FOLDER, "l", "", 0);
    put(TREE_FILE, "out", "", 1);
    put(TREE_UP, "", "", 0);
    put(TREE_UP, "", "", 0);
    put(TREE_END, "", "", 0);
    CHECK_EQ(take("h"), 1);
    CHECK(access("h/out", F_OK) && access("h/d/l/out", F_OK));

    TEST("so do more tops, leaving the top, an end within, endless folders and unknown entries");
    put(TREE_FILE, "1", "", 1);
    put(TREE_FILE, "2", "", 1);
    CHECK_EQ(take("h"), -EPROTO);
    put(TREE_UP, "", "", 0);
    CHECK_EQ(take("h"), -EPROTO);
    put(TREE_FOLDER, "d", "", 0);
    put(TREE_END, "", "", 0);
    CHECK_EQ(take("h"), -EPROTO);
    for (u32 i = 0; i < 1000; i++)
        put(TREE_FOLDER, "d", "", 0);
    CHECK_EQ(take("h"), -EPROTO);
    put('Z', "d", "", 0);
    CHECK_EQ(take("h"), -EPROTO);

    TEST("a file whose stream breaks off is not there");
    put(TREE_FILE, "half", "", 1000);
    used -= 500;
    CHECK_EQ(take("h"), -EPIPE);
    CHECK(shell("! ls -A h | grep -E 'half|nestbox-'") == 0);
    put(TREE_FILE, "bad", "", 10);
    bytes[used - 1] = 1;
    put(TREE_END, "", "", 0);
    CHECK_EQ(take("h"), 1);
    CHECK(access("h/bad", F_OK));

    TEST("random entries");
    srandom(1);
    for (u32 round = 0; round < 3000; round++) {
        for (u32 i = 0; i < 6; i++)
            put("FDLUEDF"[random() % 7], random() % 3 ? "n" : "", random() % 3 ? "" : "t", (u64)random() % 9);
        for (u32 i = 0; i < random() % 3; i++)
            bytes[(u32)random() % used] ^= (u8)(1 << random() % 3);
        take("h/z");
    }
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    if (!mkdtemp(work) || chdir(work))
        return 1;
    test_copies();
    test_harm();
    if (chdir("/") == 0) {
        char command[128];
        snprintf(command, sizeof(command), "chmod -R u+w %s; rm -rf %s", work, work);
        CHECK(shell(command) == 0);
    }
    return TEST_END();
}
