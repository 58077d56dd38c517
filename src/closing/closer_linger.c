/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* Drains one socket after our FIN, and decides when its linger is over. */

#include "closing/closer_impl.h"

#include "base/clamp.h"
#include "base/clock.h"

#ifdef __linux__

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <time.h>

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define MSEC ((apr_interval_time_t)1000)

/* The most bytes drained from one client before other sockets are checked. */
#define DRAIN_BYTES ((apr_size_t)1 << 20)

/* A client that has sent more than COALESCE_BYTES is uploading, and its packets
 * need not wake the process one by one: 5,000 wake-ups a second become 12
 * (SO_RCVLOWAT; measured). A FIN or a reset still wakes the process. */
#define COALESCE_BYTES ((apr_uint64_t)1 << 20)
#define COALESCE_LOWAT (512 * 1024)

/* A client that has sent more than FLOOD_BYTES is flooding. Its socket is read
 * by the clock only: THROTTLE_BYTES in each THROTTLE_INTERVAL, or 12 MB/s.
 * Reading on each event would be expensive, and no limit where round trips are
 * short. A normal upload of this size is slowed down, too. */
#define FLOOD_BYTES       ((apr_uint64_t)64 << 20)
#define THROTTLE_BYTES    ((apr_size_t)256 << 10)
#define THROTTLE_INTERVAL (20 * MSEC)

/* The receive buffer of a flooding client. The kernel doubles this value, and
 * may have enlarged the buffer to 32 MB before. With half of this value a
 * client 1 ms away cannot use the whole 12 MB/s; with this value a client 50 ms
 * away nearly can (measured). */
#define FLOOD_RCVBUF (512 * 1024)

/* The longest time for which a system delays an acknowledgement (Linux:
 * TCP_DELACK_MAX), and the longest time to wait for an answer. */
#define DELAYED_ACK (200 * MSEC)
#define ANSWER_MAX  (1000 * MSEC)

/* The bounds of the time between two checks whether a client still
 * acknowledges, which is an eighth of the user timeout. */
#define PROGRESS_MIN (10 * MSEC)
#define PROGRESS_MAX (1000 * MSEC)

static void set_int(int fd, int option, int value)
{
    /* A failure is harmless: the option saves work, and the time limits hold
     * without it. */
    (void)setsockopt(fd, SOL_SOCKET, option, &value, sizeof(value));
}

static int read_info(const fw2_held *held, struct tcp_info *info)
{
    socklen_t len = sizeof(*info);

    memset(info, 0, sizeof(*info));
    return getsockopt(held->fd, IPPROTO_TCP, TCP_INFO, info, &len);
}

/* Return when the client last sent something, for bytes that were found now.
 * The bytes of a coalesced client do not wake the process, so they may have
 * arrived earlier. */
static apr_time_t last_sent(const fw2_held *held, apr_time_t now)
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
        return FW2_NO_ENDING;
    }
    /* TCP_USER_TIMEOUT or SO_KEEPALIVE has expired. The error may be that of a
     * router that reported the client as unreachable (tcp_write_err()). */
    return error == ETIMEDOUT || error == EHOSTUNREACH || error == ENETUNREACH
               ? FW2_SILENCE
               : FW2_PEER_RESET;
}

/* Return the most bytes to drain now: one byte beyond linger_bytes at most. */
static apr_size_t drain_size(const fw2_held *held)
{
    apr_int64_t left = held->handoff.linger_bytes - (apr_int64_t)held->drained;
    apr_size_t size = held->throttled ? THROTTLE_BYTES : DRAIN_BYTES;

    return held->handoff.linger_bytes != FW2_BYTES_UNLIMITED
                   && left < (apr_int64_t)size
               ? (apr_size_t)left + 1
               : size;
}

/*
 * Discard received bytes without copying them (MSG_TRUNC; tcp_recvmsg()).
 * Bytes after our FIN mean that the client may send more, so the linger then
 * lasts until the client closes. Sets *more if more bytes may be unread.
 */
static fw2_ending drain(fw2_held *held, apr_time_t now, int *more)
{
    apr_size_t size = drain_size(held);
    ssize_t got = recv(held->fd, NULL, size, MSG_TRUNC | MSG_DONTWAIT);

    *more = 0;
    if (got == 0) {
        return FW2_PEER_CLOSED;
    }
    if (got < 0) {
        return ending_of_error(errno);
    }
    held->drained += (apr_uint64_t)got;
    /* With bytes left unread, the client counts as not idle. */
    held->idle_since = (apr_size_t)got == size ? now : last_sent(held, now);
    held->until = FW2_UNTIL_CLOSED;
    slow_down(held);
    *more = 1;
    return held->handoff.linger_bytes != FW2_BYTES_UNLIMITED
                   && held->drained > (apr_uint64_t)held->handoff.linger_bytes
               ? FW2_BYTES
               : FW2_NO_ENDING;
}

/* Update the number of unacknowledged bytes; our FIN counts as one byte. True
 * if the client has acknowledged all data since the last check. */
static int note_progress(fw2_held *held, apr_time_t now)
{
    int unacked = 0;

    if (!held->unacked || ioctl(held->fd, SIOCOUTQ, &unacked)) {
        return 0;
    }
    if (unacked < held->unacked) {
        held->last_acked = now;
    }
    held->unacked = unacked;
    if (unacked) {
        return 0;
    }
    held->idle_since = now;
    return 1;
}

/* True if the linger waits for acknowledgements with a user timeout. */
static int is_ack_timed(const fw2_held *held)
{
    return held->unacked && held->handoff.user_timeout;
}

/* True if the connection is closed on both sides. */
static int is_dead(const fw2_held *held)
{
    struct tcp_info info;

    return read_info(held, &info) || info.tcpi_state == TCP_CLOSE;
}

/* Return when the linger ends even if the client goes on sending. The shorter
 * limit, once_acked, applies only after all data is acknowledged, so that it
 * never truncates a response. */
static apr_time_t total_end(const fw2_held *held)
{
    apr_time_t total = held->handoff.begun + held->handoff.linger_total;
    apr_time_t shorter = held->last_acked + held->handoff.once_acked;

    return held->handoff.once_acked && !held->unacked
               ? fw2_clock_earlier(shorter, total)
               : total;
}

/* Return the ending if a time limit is reached, or FW2_NO_ENDING. The idle
 * limit applies only after all data is acknowledged, because a slow reader
 * sends nothing. */
static fw2_ending ending_by_time(fw2_held *held, apr_time_t now)
{
    const fw2_handoff *wanted = &held->handoff;

    if (is_ack_timed(held)) {
        held->abort = now - held->last_acked >= wanted->user_timeout;
        return held->abort ? FW2_SILENCE : FW2_NO_ENDING;
    }
    if (now >= total_end(held)) {
        return FW2_TOTAL;
    }
    if (!held->unacked && now - held->idle_since >= wanted->linger_idle) {
        return FW2_SILENCE;
    }
    return FW2_NO_ENDING;
}

/* Return when a time limit is next to be checked, if no event comes before. */
static apr_time_t next_limit(const fw2_held *held, apr_time_t now)
{
    const fw2_handoff *wanted = &held->handoff;
    apr_time_t total = total_end(held);
    apr_time_t idle = held->idle_since + wanted->linger_idle;

    if (is_ack_timed(held)) {
        apr_time_t user = held->last_acked + wanted->user_timeout;
        apr_interval_time_t check = fw2_clamp_number(
            PROGRESS_MIN, wanted->user_timeout / 8, PROGRESS_MAX);

        return fw2_clock_earlier(now + check, user);
    }
    return held->unacked ? total : fw2_clock_earlier(total, idle);
}

/*
 * Return when the linger on an idle client ends after the last acknowledgement;
 * 0: only a time limit ends the linger. A client that will answer may
 * acknowledge our FIN before its program answers. Such a client gets one round
 * trip and the longest delay of an acknowledgement.
 */
static apr_time_t acked_end(const fw2_held *held)
{
    struct tcp_info info;

    if (held->unacked || held->until == FW2_UNTIL_CLOSED) {
        return 0;
    }
    if (held->until == FW2_UNTIL_ACKED || read_info(held, &info)) {
        return held->idle_since;
    }
    return held->idle_since
           + fw2_clamp_number(0, info.tcpi_rtt + DELAYED_ACK, ANSWER_MAX);
}

static apr_time_t next_check(const fw2_held *held, apr_time_t now, int more)
{
    apr_time_t limit = next_limit(held, now);

    if (held->throttled) {
        return fw2_clock_earlier(limit, now + THROTTLE_INTERVAL);
    }
    return more ? now + 1 : limit;
}

/*
 * Drain the socket first: most clients have closed, and then no other system
 * call is needed. Then check the acknowledgements. After the last one drain
 * again, since the client may have sent bytes between both steps.
 */
static fw2_ending drain_and_check(fw2_held *held, apr_time_t now, int *more)
{
    fw2_ending ending = drain(held, now, more);
    int closed = ending == FW2_PEER_CLOSED && is_ack_timed(held);

    if (ending != FW2_NO_ENDING && !closed) {
        return ending;
    }
    if (note_progress(held, now)) {
        return drain(held, now, more);
    }
    /* A client may have closed with a zero window; then the watch goes on. */
    return closed && !is_dead(held) ? FW2_NO_ENDING : ending;
}

fw2_ending fw2_held_check(fw2_held *held, apr_time_t now)
{
    int more;
    fw2_ending ending = drain_and_check(held, now, &more);
    apr_time_t over;

    if (ending != FW2_NO_ENDING) {
        return ending;
    }
    over = acked_end(held);
    if (over && over <= now) {
        return FW2_ACKED;
    }
    ending = ending_by_time(held, now);
    held->due = fw2_clock_earlier(next_check(held, now, more), over);
    return ending;
}

void fw2_held_discard(fw2_held *held)
{
    ssize_t got = recv(held->fd, NULL, INT_MAX, MSG_TRUNC | MSG_DONTWAIT);

    held->drained += got > 0 ? (apr_uint64_t)got : 0;
}

void fw2_held_begin(fw2_held *held, int fd, const fw2_handoff *handoff,
                    apr_time_t now)
{
    memset(held, 0, sizeof(*held));
    held->fd = fd;
    held->handoff = *handoff;
    /* Another process sent this time, so it may be in the future. */
    if (held->handoff.begun > now || held->handoff.begun <= 0) {
        held->handoff.begun = now;
    }
    held->idle_since = held->last_acked = held->due = now;
    held->unacked = INT_MAX;
    held->until = handoff->until & 3;
}

#endif /* __linux__ */
