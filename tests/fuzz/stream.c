/*
 * The streams of cards: three peers in QEMU's place write lengths and frames, whole, in pieces and malformed. Each
 * record is a peer and the bytes that it writes. What comes out at the other peers must be whole frames of their
 * senders.
 */
#include "fuzz.h"

#include "net/frame.h"
#include "unit/card_peer.h"

#define PEERS 3u

static struct vswitch *sw;
static struct peer peer[PEERS];
static u8 got[PEERS][1 << 21];
static u32 have[PEERS];

static void begin(void)
{
    snprintf(peer_folder, sizeof(peer_folder), "%s", fuzz_folder);
}

static void read_peer(u32 i)
{
    ssize_t n;
    while (peer[i].fd >= 0 && (n = recv(peer[i].fd, got[i] + have[i], sizeof(got[i]) - have[i], MSG_DONTWAIT)) > 0) {
        u32 at = 0, length;
        have[i] += (u32)n;
        for (; have[i] - at >= 4; at += 4 + length) {
            memcpy(&length, got[i] + at, 4);
            length = ntohl(length);
            if (length < FRAME_HEADER || length > FRAME_MAX)
                wrong("a frame of %u bytes comes to peer %u", length, i);
            if (have[i] - at < 4 + length)
                break;
            const u8 *source = got[i] + at + 4 + 6;
            if (memcmp(source, (const u8[]){2, 0, 0, 0, 0}, 5) || source[5] < 1 || source[5] > PEERS ||
                source[5] == i + 1)
                wrong("a frame of nobody comes to peer %u", i);
        }
        memmove(got[i], got[i] + at, have[i] -= at);
    }
}

static void turns(void)
{
    for (u32 n = 0; n < 3; n++)
        if (vswitch_turn(sw, false))
            wrong("the switch cannot go on");
    for (u32 i = 0; i < PEERS; i++)
        read_peer(i);
}

static u32 run(const struct input *input)
{
    static const char *const id[PEERS] = {"a", "b", "c"};
    struct error error;
    sw = vswitch_new("fuzz", &error);
    struct dialer *dialer = sw ? dialer_new(sw, peer_folder, &error) : NULL;
    if (!dialer)
        wrong("%s", error.text);
    for (u32 i = 0; i < PEERS; i++) {
        have[i] = 0;
        peer_listen(&peer[i], id[i]);
        if (card_add(dialer, peer_port(id[i], (u8)(i + 1)), id[i], &error) || !peer_accept(&peer[i], 5000))
            wrong("peer %u gets no connection", i);
    }
    for (u32 i = 0; i < input->records; i++) {
        const struct record *r = &input->record[i];
        struct peer *p = r->length ? &peer[r->byte[0] % PEERS] : NULL;
        if (p && p->fd >= 0)
            (void)!send(p->fd, r->byte + 1, r->length - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (p && r->byte[0] & 0x80)
            peer_hang_up(p);
        turns();
    }
    vswitch_free(sw);
    dialer_free(dialer);
    for (u32 i = 0; i < PEERS; i++)
        peer_close(&peer[i]);
    return input->records;
}

/* A stream of some frames, cut anywhere. */
static void make(struct input *input)
{
    static u8 stream[RECORDS_MAX * RECORD_MAX];
    u32 length = 0, room = sizeof(stream) / 2;
    u8 who = (u8)below(PEERS);
    for (u32 frames = 1 + below(30); frames && length < room - 2000; frames--) {
        u8 frame[2000];
        u32 size = one_in(8) ? below(20) : 14 + below(one_in(4) ? 1900 : 100);
        for (u32 i = 0; i < size; i++)
            frame[i] = (u8)i;
        if (size >= 14)
            peer_header(frame, one_in(4) ? 0xff : (u8)(1 + below(PEERS)), (u8)(who + 1));
        length += peer_put(stream + length, frame, size);
    }
    if (one_in(3))
        length = mutate(stream, length, room);
    for (u32 at = 0, size; at < length; at += size) {
        struct record *r = record_add(input);
        if (!r)
            return;
        size = 1 + below(one_in(2) ? 30 : RECORD_MAX - 1);
        size = size < length - at ? size : length - at;
        r->byte[0] = one_in(30) ? (u8)below(256) : who;
        memcpy(r->byte + 1, stream + at, size);
        r->length = 1 + size;
    }
}

const struct fuzz_target fuzz_stream = {"stream", 5000, begin, make, run};
