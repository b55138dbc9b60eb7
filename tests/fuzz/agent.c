/*
 * The worker between a guest's agent, which is played, and two commands. Each record is who writes (0 the guest), and
 * bytes: frames, whole, in pieces and malformed. What comes out at a command must be frames of sessions, and that
 * only if it has said something; the guest must get nothing but what a host sends.
 */
#include "fuzz.h"

#include "worker/guest.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MEMBERS 2u
#define SESSIONS 4u

struct end {
    int fd;
    struct frame_reader reader;
    bool spoke; /* it may have opened sessions */
};

static struct loop loop;
static struct end end[1 + MEMBERS];

static void pair(struct end *e, int *other)
{
    int fd[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd))
        wrong("no socket");
    *e = (struct end){.fd = fd[0]};
    *other = fd[1];
}

static void judge(u32 who, const struct frame *f)
{
    bool to_guest = f->type == FRAME_HELLO || f->type == FRAME_OPEN || f->type == FRAME_DATA ||
                    f->type == FRAME_WINDOW || f->type == FRAME_RESIZE || f->type == FRAME_SIGNAL ||
                    f->type == FRAME_CLOSE;
    bool to_member = f->type == FRAME_DATA || f->type == FRAME_WINDOW || f->type == FRAME_EXIT;
    if (who == 0 && !to_guest)
        wrong("the guest gets a frame %s", frame_kinds[f->type].name);
    if (who && (!to_member || !end[who].spoke))
        wrong("command %u gets a frame %s of session %u", who, frame_kinds[f->type].name, f->session);
}

static void take(u32 who)
{
    static u8 bytes[1 << 16];
    struct frame frame;
    ssize_t n;
    while (end[who].fd >= 0 && (n = recv(end[who].fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
        for (size_t at = 0; at < (size_t)n;) {
            at += frame_take(&end[who].reader, bytes + at, (size_t)n - at, &frame);
            if (frame.type != FRAME_FILL)
                judge(who, &frame);
            if (who && !end[who].reader.found)
                wrong("command %u gets what is no frame", who);
        }
}

static void turns(void)
{
    for (u32 n = 0; n < 3; n++)
        if (loop_turn(&loop, false))
            wrong("the worker cannot go on");
    for (u32 i = 0; i <= MEMBERS; i++)
        take(i);
}

static u32 run(const struct input *input)
{
    static u8 bytes[FRAME_FILLER + 256];
    static const struct guest_events events;
    int other;
    loop = (struct loop){0};
    if (loop_init(&loop))
        wrong("no loop");
    pair(&end[0], &other);
    struct guest *guest = guest_new(&loop, other, &events);
    if (!guest)
        wrong("no guest");
    for (u32 i = 1; i <= MEMBERS; i++) {
        pair(&end[i], &other);
        end[i].reader.found = true;
        agent_port_join(guest_port(guest), other);
    }
    turns();
    struct hello hello = {AGENT_VERSION, AGENT_VERSION, 1, "played"};
    u32 length = hello_write(bytes + FRAME_FILLER + FRAME_HEAD, &hello);
    length = frame_put(bytes + FRAME_FILLER, FRAME_HELLO, 0, 0, bytes + FRAME_FILLER + FRAME_HEAD, length);
    (void)!send(end[0].fd, bytes, FRAME_FILLER + length, MSG_NOSIGNAL | MSG_DONTWAIT);
    turns();
    for (u32 i = 0; i < input->records; i++) {
        const struct record *r = &input->record[i];
        struct end *e = r->length ? &end[r->byte[0] % (1 + MEMBERS)] : NULL;
        if (!e || e->fd < 0)
            continue;
        e->spoke = true;
        (void)!send(e->fd, r->byte + 1, r->length - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (r->byte[0] & 0x80 && e != &end[0]) {
            close(e->fd);
            e->fd = -1;
        }
        if (r->byte[0] == 0x60)
            agent_port_lost(guest_port(guest));
        turns();
    }
    guest_free(guest, "the end");
    loop_free(&loop);
    for (u32 i = 0; i <= MEMBERS; i++)
        if (end[i].fd >= 0)
            close(end[i].fd);
    return input->records;
}

static u32 frame(u8 *to, u32 who)
{
    static const u8 of_guest[] = {FRAME_DATA, FRAME_DATA, FRAME_WINDOW, FRAME_EXIT, FRAME_HELLO};
    static const u8 of_host[] = {FRAME_OPEN, FRAME_DATA, FRAME_WINDOW, FRAME_RESIZE, FRAME_SIGNAL, FRAME_CLOSE};
    static const char report[] = "{\"interfaces\": [{\"addresses\": [\"192.0.2.1/24\", 5, \"x\"]}]}";
    u8 body[256], type = one_in(12) ? (u8)below(FRAME_TYPES + 2)
                         : who      ? of_host[below(sizeof(of_host))]
                                    : of_guest[below(sizeof(of_guest))];
    for (u32 i = 0; i < sizeof(body); i++)
        body[i] = one_in(2) ? (u8)below(4) : 0;
    if (one_in(3))
        memcpy(body, report, sizeof(report));
    u32 most = type && type < FRAME_TYPES ? frame_kinds[type].most : 100,
        least = most ? frame_kinds[type % FRAME_TYPES].least : 0;
    u32 length = least + below((most < 200 ? most : 200) - (least < 200 ? least : 200) + 1);
    return frame_put(to, type, below(3), type == FRAME_HELLO ? 0 : 1 + below(who ? SESSIONS : 8), body, length);
}

static void make(struct input *input)
{
    struct record *r;
    for (u32 n = 1 + below(RECORDS_MAX - 1); n && (r = record_add(input)); n--) {
        u32 who = below(1 + MEMBERS), length = 1;
        for (u32 frames = 1 + below(6); frames && length < RECORD_MAX - 300; frames--)
            length += frame(r->byte + length, who);
        if (one_in(6))
            length = mutate(r->byte, length, RECORD_MAX);
        length = length ? length : 1;
        r->byte[0] = one_in(20) ? (u8)below(256) : (u8)who;
        r->length = length;
    }
}

const struct fuzz_target fuzz_agent = {"agent", 2000, NULL, make, run};
