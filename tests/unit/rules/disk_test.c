/*
 * The tables of drives and shares, and the places at buses.
 */
#include "rules/disk.h"

#include "unit/setting_rows.h"
#include "unit/test.h"

#include <errno.h>
#include <string.h>

static struct error error;

static struct disk_def wanted(enum disk_kind kind, enum bus bus)
{
    return (struct disk_def){.kind = kind, .bus = bus, .controller = DISK_ANYWHERE, .location = DISK_ANYWHERE};
}

static void test_rows(void)
{
    rows_check(disk_settings_table, sizeof(struct disk_def));
    rows_check(share_settings_table, sizeof(struct share_def));
}

static void test_defaults(void)
{
    struct disk_def disk = wanted(DISK_DISK, BUS_ANY), cd1 = wanted(DISK_CD, BUS_ANY), cd2 = cd1;
    TEST("a bus after kind and generation, the first place");
    CHECK(!disk_place(&disk, 2, NULL, 0, &error) && disk.bus == BUS_VIRTIO && !disk.controller && !disk.location);
    CHECK(!disk_place(&cd1, 1, NULL, 0, &error) && cd1.bus == BUS_IDE);
    CHECK(!disk_place(&cd2, 2, NULL, 0, &error) && cd2.bus == BUS_SCSI);
}

static void test_places(void)
{
    struct disk_def all[4];
    TEST("places are filled one after the other, and none is left at last");
    for (unsigned i = 0; i < 4; i++) {
        all[i] = wanted(DISK_DISK, BUS_IDE);
        CHECK(!disk_place(&all[i], 1, all, i, &error));
        CHECK(all[i].controller == i / 2 && all[i].location == i % 2);
    }
    struct disk_def more = wanted(DISK_DISK, BUS_IDE);
    CHECK_EQ(disk_place(&more, 1, all, 4, &error), -28);
    TEST("a place that was freed is used");
    all[1] = all[3];
    CHECK(!disk_place(&more, 1, all, 3, &error) && more.controller == 0 && more.location == 1);
    TEST("a place that is named");
    struct disk_def there = {.bus = BUS_SCSI, .controller = 3, .location = 63};
    CHECK(!disk_place(&there, 2, NULL, 0, &error) && there.controller == 3 && there.location == 63);
    CHECK_EQ(disk_place(&there, 2, &(struct disk_def){.id = "disk7", .bus = BUS_SCSI, .controller = 3, .location = 63},
                        1, &error),
             -17);
    CHECK(strstr(error.text, "disk7"));
    struct disk_def third = wanted(DISK_DISK, BUS_SCSI);
    third.controller = 2;
    CHECK(!disk_place(&third, 2, NULL, 0, &error) && third.controller == 2 && third.location == 0);
}

static void test_refusals(void)
{
    struct disk_def disk = wanted(DISK_DISK, BUS_IDE);
    TEST("what is not there");
    CHECK_EQ(disk_place(&disk, 2, NULL, 0, &error), -22);
    disk = wanted(DISK_CD, BUS_NVME);
    CHECK_EQ(disk_place(&disk, 2, NULL, 0, &error), -22);
    disk = wanted(DISK_FLOPPY, BUS_ANY);
    CHECK_EQ(disk_place(&disk, 2, NULL, 0, &error), -22);
    CHECK(!disk_place(&disk, 1, NULL, 0, &error));
    disk = (struct disk_def){.bus = BUS_LSI, .location = 7};
    CHECK_EQ(disk_place(&disk, 2, NULL, 0, &error), -22);
    CHECK(strstr(error.hint, "0 to 6"));
}

static void test_names(void)
{
    char id[ID_TEXT_MAX];
    TEST("ids and tags");
    disk_id(DISK_FLOPPY, 1, id);
    CHECK(strcmp(id, "floppy1") == 0);
    disk_id(DISK_DISK, 63, id);
    CHECK(strcmp(id, "disk63") == 0);
    CHECK(!share_check(&(struct share_def){.tag = "src"}, &error));
    CHECK_EQ(share_check(&(struct share_def){.tag = "a,b"}, &error), -22);
    CHECK_EQ(share_check(&(struct share_def){.tag = ""}, &error), -22);
}

int main(void)
{
    test_rows();
    test_defaults();
    test_places();
    test_refusals();
    test_names();

    TEST("what comes and goes while a VM runs");
    static const struct {
        enum disk_kind kind;
        enum bus bus;
        bool hot;
    } drives[] = {{DISK_DISK, BUS_VIRTIO, true}, {DISK_DISK, BUS_SCSI, true}, {DISK_CD, BUS_SCSI, true},
                  {DISK_DISK, BUS_NVME, true},   {DISK_DISK, BUS_LSI, false}, {DISK_DISK, BUS_SATA, false},
                  {DISK_CD, BUS_SATA, false},    {DISK_CD, BUS_IDE, false},   {DISK_FLOPPY, BUS_IDE, false}};
    for (unsigned i = 0; i < ARRAY_LEN(drives); i++) {
        const struct disk_def drive = {.kind = drives[i].kind, .bus = drives[i].bus};
        struct error why = {0};
        CHECK_EQ(disk_hot(&drive, &why), drives[i].hot ? 0 : -EPERM);
        CHECK(drives[i].hot || (why.text[0] && strstr(why.hint, "stop it first")));
    }
    return TEST_END();
}
