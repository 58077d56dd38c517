/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Draining one socket after our FIN, and deciding when its linger is over. */

#include "closing/closer_impl.h"

#include "base/clock.h"

#ifdef __linux__

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define MSEC ((apr_interval_time_t)1000)

/* Bytes drained from one client before others have their turn. */
#define TURN_BYTES ((apr_size_t)1 << 20)

/* From here on a client is uploading, and does not have to wake us for each
 * packet: 5,000 wake-ups a second become 12 (SO_RCVLOWAT; measured). FIN and
 * reset wake us all the same. */
#define COALESCE_BYTES ((apr_uint64_t)1 << 20)
#define COALESCE_LOWAT (512 * 1024)

/* From here on it is flooding, and is read by the clock: so much, so often,
 * which is 12 MB/s. To wait for its packets would be no bound where round
 * trips are short, and dear. An honest upload that is larger than this is
 * slowed down, too. */
#define FLOOD_BYTES       ((apr_uint64_t)64 << 20)
#define THROTTLE_BYTES    ((apr_size_t)256 << 10)
#define THROTTLE_INTERVAL (20 * MSEC)

/* Its receive buffer. The kernel doubles this, but may have grown it to 32 MB
 * before. With half of it, a client 1 ms away cannot keep up with the clock;
 * with this, one 50 ms away nearly can (measured). */
#define FLOOD_RCVBUF (512 * 1024)

/* The longest time for which a system delays an acknowledgement (Linux:
 * TCP_DELACK_MAX), and the longest time to wait for an answer. */
#define DELAYED_ACK (200 * MSEC)
#define ANSWER_MAX  (1000 * MSEC)

/* How often to see whether a client still acknowledges: an eighth of the time
 * that it has, within these. */
#define PROGRESS_MIN (10 * MSEC)
#define PROGRESS_MAX (1000 * MSEC)

static void set_int(int fd, int option, int value)
{
    /* It would only have been better: the time limits hold all the same. */
    (void)setsockopt(fd, SOL_SOCKET, option, &value, sizeof(value));
}

static int read_info(const fw2_held *held, struct tcp_info *info)
{
    socklen_t len = sizeof(*info);

    memset(info, 0, sizeof(*info));
    return getsockopt(held->fd, IPPROTO_TCP, TCP_INFO, info, &len);
}

/* When the client last said something, if it was within this look. Since a
 * coalesced client's bytes do not wake us, those found may have waited. */
static apr_time_t last_heard(const fw2_held *held, apr_time_t now)
{
    struct tcp_info info;

    if (!held->coalesced || read_info(held, &info)) {
        return now;
    }
    return now - info.tcpi_last_data_recv * MSEC;
}

static void slow_down(fw2_held *held)
{
    if (!held->coalesced && held->drained >= COALESCE_BYTES) {
        held->coalesced = 1;
        set_int(held->fd, SO_RCVLOWAT, COALESCE_LOWAT);
    }
    if (!held->throttled && held->drained >= FLOOD_BYTES) {
        held->throttled = 1;
        set_int(held->fd, SO_RCVBUF, FLOOD_RCVBUF);
    }
}

static fw2_ending ending_of_error(int error)
{
    if (error == EAGAIN || error == EWOULDBLOCK || error == EINTR) {
        return FW2_ENDINGS;
    }
    /* TCP_USER_TIMEOUT or SO_KEEPALIVE gave the client up; on the way to it a
     * router may have said why it cannot be reached (tcp_write_err()). */
    return error == ETIMEDOUT || error == EHOSTUNREACH || error == ENETUNREACH
               ? FW2_SILENCE
               : FW2_PEER_RESET;
}

/* How much to drain now: not more than one byte too many. */
static apr_size_t turn_of(const fw2_held *held)
{
    apr_int64_t left = held->handover.linger_bytes - (apr_int64_t)held->drained;
    apr_size_t turn = held->throttled ? THROTTLE_BYTES : TURN_BYTES;

    return held->handover.linger_bytes != FW2_BYTES_UNLIMITED
                   && left < (apr_int64_t)turn
               ? (apr_size_t)left + 1
               : turn;
}

/*
 * Discard what has come, without copying it (MSG_TRUNC; tcp_recvmsg()).
 * Anything that comes after our FIN shows that the client is not done.
 * Sets *more if there may be more.
 */
static fw2_ending drain(fw2_held *held, apr_time_t now, int *more)
{
    apr_size_t turn = turn_of(held);
    ssize_t got = recv(held->fd, NULL, turn, MSG_TRUNC | MSG_DONTWAIT);

    *more = 0;
    if (got == 0) {
        return FW2_PEER_CLOSED;
    }
    if (got < 0) {
        return ending_of_error(errno);
    }
    held->drained += (apr_uint64_t)got;
    /* The client's silence says nothing about bytes that are still unread. */
    held->heard = (apr_size_t)got == turn ? now : last_heard(held, now);
    held->until = FW2_UNTIL_CLOSED;
    slow_down(held);
    *more = 1;
    return held->handover.linger_bytes != FW2_BYTES_UNLIMITED
                   && held->drained > (apr_uint64_t)held->handover.linger_bytes
               ? FW2_BYTES
               : FW2_ENDINGS;
}

/* See how far the client has acknowledged; our FIN counts as one byte. Whether
 * it has acknowledged all data, and had not before. */
static int note_progress(fw2_held *held, apr_time_t now)
{
    int unacked = 0;

    if (!held->unacked || ioctl(held->fd, SIOCOUTQ, &unacked)) {
        return 0;
    }
    if (unacked < held->unacked) {
        held->moved = now;
    }
    held->unacked = unacked;
    if (unacked) {
        return 0;
    }
    held->heard = now;
    return 1;
}

/* Whether it is for us to see that the client acknowledges all, or is reset. */
static int is_watched(const fw2_held *held)
{
    return held->unacked && held->handover.user_timeout;
}

/* Whether the connection is over on both sides. */
static int is_dead(const fw2_held *held)
{
    struct tcp_info info;

    return read_info(held, &info) || info.tcpi_state == TCP_CLOSE;
}

/* When its linger is over, whatever it says. A shorter one never is at the
 * expense of what the client does not have yet. */
static apr_time_t total_up(const fw2_held *held)
{
    apr_time_t total = held->handover.begun + held->handover.linger_total;
    apr_time_t shorter = held->moved + held->handover.once_acked;

    return held->handover.once_acked && !held->unacked && shorter < total
               ? shorter
               : total;
}

/* Whether time is up. Until the client has acknowledged all data, its silence
 * is no sign: a slow reader has nothing to say. */
static fw2_ending out_of_time(fw2_held *held, apr_time_t now)
{
    const fw2_handover *wanted = &held->handover;

    if (is_watched(held)) {
        held->abort = now - held->moved >= wanted->user_timeout;
        return held->abort ? FW2_SILENCE : FW2_ENDINGS;
    }
    if (now >= total_up(held)) {
        return FW2_TOTAL;
    }
    if (!held->unacked && now - held->heard >= wanted->linger_idle) {
        return FW2_SILENCE;
    }
    return FW2_ENDINGS;
}

static apr_interval_time_t between(apr_interval_time_t least,
                                   apr_interval_time_t time,
                                   apr_interval_time_t most)
{
    return time < least ? least : time > most ? most : time;
}

/* When time may be up, if nothing happens until then. */
static apr_time_t time_up(const fw2_held *held, apr_time_t now)
{
    const fw2_handover *wanted = &held->handover;
    apr_time_t total = total_up(held);
    apr_time_t idle = held->heard + wanted->linger_idle;

    if (is_watched(held)) {
        apr_time_t enough = held->moved + wanted->user_timeout;
        apr_time_t check =
            now + between(PROGRESS_MIN, wanted->user_timeout / 8, PROGRESS_MAX);

        return check < enough ? check : enough;
    }
    return held->unacked || total < idle ? total : idle;
}

/*
 * When the linger on a client that has sent nothing is over, though time is not
 * up; 0: only then. A client may acknowledge our FIN at once and answer after
 * that, or its program is late: it has a round trip, and as long as its system
 * might have delayed the acknowledgement.
 */
static apr_time_t enough(const fw2_held *held)
{
    struct tcp_info info;

    if (held->unacked || held->until == FW2_UNTIL_CLOSED) {
        return 0;
    }
    if (held->until == FW2_UNTIL_ACKED || read_info(held, &info)) {
        return held->heard;
    }
    return held->heard + between(0, info.tcpi_rtt + DELAYED_ACK, ANSWER_MAX);
}

static apr_time_t next_look(const fw2_held *held, apr_time_t now, int more)
{
    apr_time_t up = time_up(held, now);

    if (held->throttled) {
        return up < now + THROTTLE_INTERVAL ? up : now + THROTTLE_INTERVAL;
    }
    return more ? now + 1 : up;
}

/*
 * First what the client says: of most that is the end, and there is nothing
 * more to ask. Then what it has. After the last acknowledgement it may
 * have sent something, behind our last look: so look once more.
 */
static fw2_ending listen_to(fw2_held *held, apr_time_t now, int *more)
{
    fw2_ending ending = drain(held, now, more);
    int closed = ending == FW2_PEER_CLOSED && is_watched(held);

    if (ending != FW2_ENDINGS && !closed) {
        return ending;
    }
    if (note_progress(held, now)) {
        return drain(held, now, more);
    }
    /* It may have closed behind a zero window. */
    return closed && !is_dead(held) ? FW2_ENDINGS : ending;
}

fw2_ending fw2_held_look(fw2_held *held, apr_time_t now)
{
    int more;
    fw2_ending ending = listen_to(held, now, &more);
    apr_time_t over;

    if (ending != FW2_ENDINGS) {
        return ending;
    }
    over = enough(held);
    if (over && over <= now) {
        return FW2_ACKED;
    }
    ending = out_of_time(held, now);
    held->due = next_look(held, now, more);
    if (over && over < held->due) {
        held->due = over;
    }
    return ending;
}

void fw2_held_discard(fw2_held *held)
{
    ssize_t got = recv(held->fd, NULL, INT_MAX, MSG_TRUNC | MSG_DONTWAIT);

    held->drained += got > 0 ? (apr_uint64_t)got : 0;
}

void fw2_held_begin(fw2_held *held, int fd, const fw2_handover *handover,
                    apr_time_t now)
{
    memset(held, 0, sizeof(*held));
    held->fd = fd;
    held->handover = *handover;
    /* A clock of another process's reading: not in the future. */
    if (held->handover.begun > now || held->handover.begun <= 0) {
        held->handover.begun = now;
    }
    held->heard = held->moved = held->due = now;
    held->unacked = INT_MAX;
    held->until = handover->until & 3;
}

void fw2_held_close(const fw2_held *held)
{
    struct linger linger = { held->abort || held->handover.reset, 0 };

    /* Never under SO_LINGER with seconds: it blocks close() even of a
     * non-blocking descriptor until all is acknowledged (inet_release()), and
     * what is set on the socket is up to the process that handed it off. */
    (void)setsockopt(held->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    close(held->fd);
}

#endif /* __linux__ */
