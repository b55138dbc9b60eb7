/* ioeventfd: which writes are signals, which zones may be side by side; and the events themselves. */
#include "kvmapi/ioeventfd.h"
#include "unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define PIO KVM_IOEVENTFD_FLAG_PIO
#define MATCH KVM_IOEVENTFD_FLAG_DATAMATCH
#define DEASSIGN KVM_IOEVENTFD_FLAG_DEASSIGN

static struct ioevents all;
static int fd;

static int change(u64 address, u32 size, u32 flags, u64 match)
{
    return ioevents_change(
        &all, &(struct kvm_ioeventfd){.addr = address, .len = size, .fd = fd, .flags = flags, .datamatch = match});
}

static u64 signals(int from)
{
    u64 n = 0;
    return read(from, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static bool writes(bool port, u64 address, u64 value, unsigned size)
{
    bool taken = ioevents_write(&all, port, address, value, size);
    CHECK_EQ(signals(fd), taken);
    return taken;
}

static void test_matches(void)
{
    TEST("address, size and value of the write have to match");
    CHECK_EQ(change(0xfe003000, 2, 0, 0), 0);
    CHECK(writes(false, 0xfe003000, 7, 2));
    CHECK(!writes(false, 0xfe003000, 7, 4));
    CHECK(!writes(false, 0xfe003001, 7, 2));
    CHECK(!writes(true, 0xfe003000, 7, 2));
    CHECK_EQ(change(0xc010, 2, PIO | MATCH, 1), 0);
    CHECK_EQ(change(0xc010, 2, PIO | MATCH, 2), 0);
    CHECK(writes(true, 0xc010, 1, 2));
    CHECK(writes(true, 0xc010, 0x50002, 2));
    CHECK(!writes(true, 0xc010, 3, 2));
    CHECK(!writes(true, 0xc010, 1, 1));

    TEST("an event of any size");
    CHECK_EQ(change(0xfe004000, 0, 0, 0), 0);
    CHECK(writes(false, 0xfe004000, 7, 1));
    CHECK(writes(false, 0xfe004000, 7, 8));
    CHECK(!writes(false, 0xfe004002, 7, 2));
}

static void test_refused(void)
{
    TEST("what is refused");
    CHECK_EQ(change(0x10, 3, 0, 0), -EINVAL);
    CHECK_EQ(change(0x10, 16, 0, 0), -EINVAL);
    CHECK_EQ(change(0x10, 0, MATCH, 0), -EINVAL);
    CHECK_EQ(change(~0ull, 4, 0, 0), -EINVAL);
    CHECK_EQ(change(0x10, 4, KVM_IOEVENTFD_FLAG_VIRTIO_CCW_NOTIFY, 0), -EINVAL);
    CHECK_EQ(change(0xfe003000, 2, 0, 0), -EEXIST);
    CHECK_EQ(change(0xfe003000, 2, MATCH, 5), -EEXIST);
    CHECK_EQ(change(0xfe003000, 0, 0, 0), -EEXIST);
    CHECK_EQ(change(0xc010, 2, PIO | MATCH, 0x10002), -EEXIST);
    int pipes[2], event = fd;
    CHECK_EQ(pipe(pipes), 0);
    fd = pipes[0];
    CHECK_EQ(change(0x20, 4, 0, 0), -EINVAL);
    close(pipes[0]);
    close(pipes[1]);
    CHECK_EQ(change(0x20, 4, 0, 0), -EBADF);
    fd = event;
}

static void test_ends(void)
{
    TEST("an event is taken away by all that it was made of");
    CHECK_EQ(change(0xfe003000, 4, DEASSIGN, 0), -ENOENT);
    CHECK_EQ(change(0xc010, 2, PIO | MATCH | DEASSIGN, 3), -ENOENT);
    CHECK_EQ(change(0xc010, 2, PIO | MATCH | DEASSIGN, 2), 0);
    CHECK(!writes(true, 0xc010, 2, 2));
    CHECK(writes(true, 0xc010, 1, 2));
    int event = fd, other = eventfd(0, EFD_NONBLOCK);
    fd = other;
    CHECK_EQ(change(0xfe003000, 2, DEASSIGN, 0), -ENOENT);
    fd = event;
    CHECK_EQ(change(0xfe003000, 2, DEASSIGN, 0), 0);
    CHECK_EQ(change(0xfe004000, 0, DEASSIGN, 0), 0);
    CHECK(!writes(false, 0xfe004000, 7, 8));
    close(other);

    TEST("the event stays when its descriptor is closed");
    int copy = dup(fd);
    CHECK_EQ(change(0xfe005000, 4, 0, 0), 0);
    close(fd);
    CHECK(ioevents_write(&all, false, 0xfe005000, 0, 4));
    CHECK_EQ(signals(copy), 1);
    fd = copy;
    CHECK_EQ(change(0xfe005000, 4, DEASSIGN, 0), 0);
}

static void test_event(void)
{
    TEST("signals are taken together, and none is waited for");
    struct event_fd e;
    int blocking = eventfd(0, 0);
    CHECK_EQ(eventfd_copy(&e, blocking), 0);
    CHECK(!eventfd_take(&e));
    eventfd_signal(&e);
    eventfd_signal(&e);
    CHECK(eventfd_take(&e) && !eventfd_take(&e));
    CHECK(eventfd_is(&e, blocking) && !eventfd_is(&e, fd));
    close(blocking);
    CHECK(!eventfd_is(&e, blocking));
    CHECK(fcntl(e.fd, F_GETFD) & FD_CLOEXEC);
    eventfd_close(&e);
}

int main(void)
{
    fd = eventfd(0, EFD_NONBLOCK);
    ioevents_init(&all);
    test_matches();
    test_refused();
    test_ends();
    test_event();
    ioevents_destroy(&all);
    return TEST_END();
}
