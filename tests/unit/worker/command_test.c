/*
 * QEMU's command line of a VM with one of everything, word by word where it matters.
 */
#include "worker/command.h"

#include "unit/home.h"
#include "unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static struct store *store;
static struct vm_def def;
static struct error error;

/* Is there an argument that has `text`? Behind `option`, if that is not NULL. */
static bool has(char **argv, const char *option_name, const char *text)
{
    for (unsigned i = 1; argv[i]; i++)
        if ((!option_name || strcmp(argv[i - 1], option_name) == 0) && strstr(argv[i], text))
            return true;
    printf("# no %s %s\n", option_name ? option_name : "argument", text);
    return false;
}

static void definition(u32 generation)
{
    memset(&def, 0, sizeof(def));
    setting_defaults(vm_settings_table, &def.set);
    strcpy(def.name, "Lab 1");
    strcpy(def.id, "11111111-2222-4333-8444-555555555555");
    def.set.generation = generation;
}

static struct disk_def *drive(enum disk_kind kind, enum bus bus, u32 controller, u32 location, const char *path)
{
    struct disk_def *d = &def.disk[def.disks];
    setting_defaults(disk_settings_table, d);
    disk_id(kind, def.disks++, d->id);
    *d = (struct disk_def){
        .kind = kind, .bus = bus, .controller = controller, .location = location, .path = path, .format = "raw"};
    disk_id(kind, def.disks - 1, d->id);
    return d;
}

static char **line(const struct card_def *cards, u32 count)
{
    const struct command c = {.store = store,
                              .def = &def,
                              .memory = def.set.memory,
                              .cards = cards,
                              .card_count = count,
                              .qmp = 10,
                              .serial = 11,
                              .agent = 12};
    char **argv = command_qemu(&c, &error);
    if (!argv)
        printf("# %s\n", error.text);
    return argv;
}

int main(void)
{
    home_make();
    store = store_open(&error);
    if (!store)
        abort();
    char folder[128], image[160];
    snprintf(folder, sizeof(folder), "%s/vms/lab 1", home);
    mkdir(folder, 0700);
    snprintf(image, sizeof(image), "%s/a,b.img", home);
    close(open(image, O_CREAT | O_WRONLY, 0600));

    TEST("generation 2: UEFI, everything explicit, confined");
    definition(2);
    def.set.nested = NESTED_AMD;
    char **argv = line(NULL, 0);
    CHECK(argv && strcmp(argv[1], "qemu") == 0);
    CHECK(has(argv, "--accel", "auto") && has(argv, "--nested", "amd"));
    CHECK(has(argv, "-machine", "pc-q35-7.2,") && has(argv, "-machine", "pflash0=code,pflash1=variables"));
    CHECK(has(argv, "-blockdev", "/vms/lab 1/firmware.fd"));
    CHECK(has(argv, NULL, "-nodefaults") && has(argv, NULL, "-no-user-config") && has(argv, NULL, "-S"));
    CHECK(has(argv, "-sandbox", "on,") && has(argv, "-object", "memory-backend-ram"));
    CHECK(has(argv, "-chardev", "id=qmp,fd=10,server=on") && has(argv, "-chardev", "id=serial,fd=11,server=on"));
    CHECK(has(argv, "-chardev", "id=agent,fd=12,server=on"));
    CHECK(has(argv, "-device", "org.qemu.guest_agent.0") && has(argv, "-device", "org.nestbox.agent.0"));
    CHECK(has(argv, "-device", "free-page-reporting=on") && has(argv, "-device", "virtio-rng-pci"));
    CHECK(has(argv, "-vnc", "unix:") && has(argv, "-device", "pcie-root-port,id=hot3"));
    CHECK(strcmp(command_variables(&def), "/usr/share/OVMF/OVMF_VARS_4M.fd") == 0);
    command_free(argv);

    TEST("without nesting the guest sees no extensions, and without a display no video card");
    def.set.nested = NESTED_OFF;
    def.set.display = DISPLAY_NONE;
    def.set.secure_boot = true;
    argv = line(NULL, 0);
    CHECK(has(argv, "-cpu", "host,vmx=off,svm=off") && has(argv, "-vga", "none"));
    CHECK(strcmp(command_variables(&def), "/usr/share/OVMF/OVMF_VARS_4M.ms.fd") == 0);
    command_free(argv);

    TEST("generation 1: BIOS; each bus");
    definition(1);
    def.set.boot = "cd,disk";
    drive(DISK_DISK, BUS_VIRTIO, 0, 0, image);
    drive(DISK_DISK, BUS_SCSI, 1, 5, image)->read_only = true;
    drive(DISK_DISK, BUS_LSI, 0, 2, image);
    drive(DISK_DISK, BUS_SATA, 0, 3, image);
    drive(DISK_DISK, BUS_NVME, 0, 0, image)->bytes_maximum = 1 << 20;
    drive(DISK_CD, BUS_IDE, 1, 0, NULL);
    drive(DISK_FLOPPY, BUS_IDE, 0, 1, image);
    argv = line(NULL, 0);
    CHECK(argv && has(argv, "-machine", "pc-i440fx-7.2,") && !command_variables(&def));
    CHECK(has(argv, "-blockdev", "a,b.img\""));
    CHECK(has(argv, "-device",
              "{\"driver\":\"virtio-blk-pci\",\"serial\":\"disk0\",\"id\":\"disk0\",\"drive\":\"disk0-0\","
              "\"werror\":\"stop\",\"rerror\":\"stop\",\"bootindex\":200}"));
    CHECK(has(argv, "-device", "virtio-scsi-pci,id=scsi1") &&
          has(argv, "-device", "\"bus\":\"scsi1.0\",\"scsi-id\":5"));
    CHECK(has(argv, "-blockdev", "\"node-name\":\"disk1-0\",\"read-only\":true"));
    CHECK(has(argv, "-device", "lsi53c895a,id=lsi0") && has(argv, "-device", "\"bus\":\"lsi0.0\",\"scsi-id\":2"));
    CHECK(has(argv, "-device", "ich9-ahci,id=sata") && has(argv, "-device", "\"bus\":\"sata.3\""));
    CHECK(has(argv, "-object", "\"bps-total\":1048576") && has(argv, "-device", "\"drive\":\"disk4-limit\""));
    CHECK(
        has(argv, "-device", "{\"driver\":\"ide-cd\",\"bus\":\"ide.1\",\"unit\":0,\"id\":\"cd5\",\"bootindex\":100}"));
    CHECK(has(argv, "-device", "{\"driver\":\"floppy\",\"unit\":1,"));
    command_free(argv);

    TEST("a disk that is not there is named");
    def.disk[0].path = "/nowhere/x.img";
    CHECK(!line(NULL, 0) && error.code == -ENOENT && strstr(error.text, "disk0: /nowhere/x.img"));
    def.disk[0].path = image;

    TEST("a card is where its switch looks for it, and is started from only where that is said");
    struct card_def card = {.id = "a1234567", .mac = {{0x52, 0x54, 0, 1, 2, 3}}};
    argv = line(&card, 1);
    CHECK(has(argv, "-netdev", "/nics/a1234567\"") && has(argv, "-device", "\"mac\":\"52:54:00:01:02:03\""));
    CHECK(has(argv, "-device", "\"romfile\":\"\""));
    command_free(argv);
    def.set.boot = "network";
    argv = line(&card, 1);
    CHECK(has(argv, "-device", "\"mac\":\"52:54:00:01:02:03\",\"bootindex\":100"));
    command_free(argv);

    TEST("a TPM, shared folders, and their helpers");
    definition(2);
    def.set.tpm = true;
    def.shares = 1;
    def.share[0] = (struct share_def){"docs", "/srv/a,b", true};
    argv = line(NULL, 0);
    CHECK(has(argv, "-object", "memory-backend-memfd") && has(argv, "-object", "\"share\":true"));
    CHECK(has(argv, "-device", "tpm-crb") && has(argv, "-device", "vhost-user-fs-pci,id=fs0,chardev=share0,tag=docs"));
    command_free(argv);
    argv = command_tpm(store, &def, &error);
    CHECK(argv && has(argv, "--tpmstate", "/vms/lab 1/tpm,") && has(argv, "--ctrl", "/run/vms/lab 1/qemu/tpm,"));
    command_free(argv);
    argv = command_share(&def.share[0], 7, &error);
    CHECK(argv && has(argv, "--fd=7", "-o") && has(argv, "-o", "source=/srv/a\\,b,") &&
          has(argv, "-c", "remount,bind,ro"));
    command_free(argv);
    store_close(store);
    return TEST_END();
}
