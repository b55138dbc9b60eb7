/*
 * Images on disk: drafts that become images or nothing, names without case, which VMs use them, and what the seed of a
 * VM looks like.
 */
#include "store/image.h"

#include "store/iso9660.h"
#include "store/qcow2.h"
#include "unit/home.h"
#include "unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct error error;
static struct store *store;

/* The head of a qcow2 file of 1 GiB over `backing`. */
static void write_qcow2(const char *path, const char *backing)
{
    u8 b[2048] = {'Q', 'F', 'I', 0xfb, 0, 0, 0, 3};
    size_t length = strlen(backing);
    if (length) {
        b[14] = 1; /* its name is at 256 */
        b[18] = (u8)(length >> 8);
        b[19] = (u8)length;
        memcpy(b + 256, backing, length);
    }
    b[28] = 0x40;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, b, sizeof(b)) != sizeof(b) || close(fd))
        abort();
}

static void write_at(const char *folder, const char *name, const char *backing)
{
    char path[PATH_MAX + 64];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    write_qcow2(path, backing);
}

static int make_image(const char *name)
{
    struct image_def def = {.source = {.profile = "debian"}};
    struct image_draft draft;
    int e = store_image_draft(store, name, &draft, &error);
    if (e)
        return e;
    snprintf(def.name, sizeof(def.name), "%s", name);
    write_at(draft.folder, "disk.qcow2", "");
    return store_image_keep(store, &draft, &def, &error);
}

static u32 images(void)
{
    struct image_def *list;
    u32 count = 99;
    if (store_images(store, &list, &count, &error))
        return 99;
    image_defs_free(list, count);
    return count;
}

static void test_drafts(void)
{
    struct image_draft draft, other;
    struct image_def def = {0};
    char left[PATH_MAX];

    TEST("a draft is no image until it is kept");
    CHECK_EQ(store_image_draft(store, "lab", &draft, &error), 0);
    CHECK_EQ(images(), 0);
    CHECK_EQ(store_image(store, "lab", &def, &error), -ENOENT);
    store_image_drop(&draft);
    CHECK_EQ(access(draft.folder, F_OK), -1);

    TEST("a draft without a disk is not kept");
    CHECK_EQ(store_image_draft(store, "lab", &draft, &error), 0);
    strcpy(def.name, "lab");
    CHECK_EQ(store_image_keep(store, &draft, &def, &error), -ENOENT);
    CHECK_EQ(access(draft.folder, F_OK), -1);

    TEST("what a killed command left goes, and nobody else's draft");
    CHECK_EQ(store_image_draft(store, "other", &other, &error), 0);
    snprintf(left, sizeof(left), "%s/images/.draft-killed", home);
    CHECK_EQ(mkdir(left, 0700), 0);
    write_at(left, "disk.qcow2", "");
    CHECK_EQ(make_image("Lab"), 0);
    CHECK_EQ(access(left, F_OK), -1);
    CHECK_EQ(access(other.folder, F_OK), 0);
    store_image_drop(&other);

    TEST("an image keeps its name, which is taken in any case");
    CHECK_EQ(store_image(store, "LAB", &def, &error), 0);
    CHECK(strcmp(def.name, "Lab") == 0 && def.created > 0 && strcmp(def.source.profile, "debian") == 0);
    image_def_free(&def);
    CHECK_EQ(store_image_draft(store, "lab", &draft, &error), -EEXIST);

    TEST("one that is made twice at once is made once");
    CHECK_EQ(store_image_draft(store, "twice", &draft, &error), 0);
    CHECK_EQ(make_image("twice"), 0);
    def = (struct image_def){.name = "twice"};
    write_at(draft.folder, "disk.qcow2", "");
    CHECK_EQ(store_image_keep(store, &draft, &def, &error), -EEXIST);
    CHECK_EQ(store_image_remove(store, "twice", &error), 0);

    TEST("a name that is not there is an error with what is close");
    CHECK_EQ(store_image(store, "lap", &def, &error), -ENOENT);
    CHECK(strstr(error.hint, "'Lab'") != NULL);
}

static bool used_by(const char *vm)
{
    struct image_use *uses;
    u32 count;
    bool found = false;
    if (store_image_uses(store, &uses, &count, &error))
        return false;
    for (u32 i = 0; i < count; i++)
        found |= strcmp(uses[i].image, "lab") == 0 && strcmp(uses[i].vm, vm) == 0;
    free(uses);
    return found;
}

static void make_folder(const char *path, char whole[static PATH_MAX])
{
    snprintf(whole, PATH_MAX, "%s/%s", home, path);
    if (mkdir(whole, 0700))
        abort();
}

static void test_uses(void)
{
    char disk[PATH_MAX], folder[PATH_MAX], other[PATH_MAX + 16];

    TEST("no VM uses it");
    CHECK_EQ(store_image_path(store, "lab", disk, sizeof(disk), &error), 0);
    CHECK(!used_by("one"));

    TEST("a disk over it counts, and one over that, anywhere");
    make_folder("vms/one", folder);
    make_folder("vms/one/disks", folder);
    write_at(folder, "a.qcow2", disk);
    CHECK(used_by("one"));
    snprintf(other, sizeof(other), "%s/a.qcow2", folder);
    make_folder("vms/two", folder);
    make_folder("vms/two/checkpoints", folder);
    make_folder("vms/two/checkpoints/1", folder);
    write_at(folder, "b.qcow2", other);
    CHECK(used_by("two"));

    TEST("a path that begins at the file counts, too");
    make_folder("vms/three", folder);
    write_at(folder, "c.qcow2", "../../images/lab/disk.qcow2");
    CHECK(used_by("three"));

    TEST("files that lie over each other end the search");
    make_folder("vms/four", folder);
    write_at(folder, "d.qcow2", "d.qcow2");
    write_at(folder, "e.qcow2", "nowhere.qcow2");
    CHECK(!used_by("four"));
}

static void test_qcow2(void)
{
    struct qcow2_head head;
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/x.qcow2", home);
    TEST("the head of a qcow2 file");
    write_qcow2(path, "below.qcow2");
    CHECK_EQ(qcow2_read(AT_FDCWD, path, &head), 0);
    CHECK_EQ(head.size, 1ull << 30);
    CHECK(strcmp(head.backing, "below.qcow2") == 0 && !head.data_file);
    home_write("x.qcow2", "no disk, but longer than the head of one would have to be, which is eighty bytes or more");
    CHECK_EQ(qcow2_read(AT_FDCWD, path, &head), -EBADMSG);
}

static u32 little(const u8 *at)
{
    return at[0] | (u32)at[1] << 8 | (u32)at[2] << 16 | (u32)at[3] << 24;
}

static void test_iso(void)
{
    static char big[5000];
    const struct iso_file files[] = {{"user-data", "#cloud-config\n", 14}, {"meta-data", big, sizeof(big)}};
    size_t size;
    memset(big, 'x', sizeof(big));
    u8 *iso = iso_make("CIDATA", files, 2, &size);
    TEST("a file system with two files");
    CHECK_EQ(size, 2048 * (21 + 1 + 3));
    CHECK(memcmp(iso + 0x8000, "\1CD001", 6) == 0 && memcmp(iso + 0x8028, "CIDATA ", 7) == 0);
    CHECK_EQ(little(iso + 0x8050), 25);
    const u8 *record = iso + 20 * 2048 + 34 * 2;
    CHECK_EQ(record[32], 12);
    CHECK(memcmp(record + 33, "USER-DATA.;1", 12) == 0);
    CHECK(memcmp(iso + little(record + 2) * 2048, "#cloud-config\n", 14) == 0);
    record += record[0];
    CHECK_EQ(little(record + 10), sizeof(big));
    CHECK(memcmp(iso + little(record + 2) * 2048, big, sizeof(big)) == 0);
    size_t length;
    TEST("files are found again, and nothing outside of the image");
    CHECK(iso_find(iso, size, "meta-data", &length) == iso + 22 * 2048);
    CHECK_EQ(length, sizeof(big));
    CHECK(!iso_find(iso, size, "meta", &length));
    CHECK(!iso_find(iso, size - 2048, "meta-data", &length));
    CHECK(!iso_find(iso, 4096, "meta-data", &length));
    free(iso);
}

int main(void)
{
    home_make();
    store = store_open(&error);
    if (!store)
        abort();
    test_drafts();
    test_uses();
    test_qcow2();
    test_iso();
    store_close(store);
    return TEST_END();
}
