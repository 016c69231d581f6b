/*
 * The load client: many connections and the publisher of their messages in one process.
 *
 * It must cost far less than the servers it measures, so there is no WebSocket library here: non-blocking sockets,
 * one epoll descriptor, one shared receive buffer, and a parser that looks at the header of a frame and at the first
 * bytes of a message.  Even so nothing is taken on trust: every message carries a sequence number, its channel and
 * the time of its publication, and each connection checks that it gets every message of its channel once, in order,
 * at full length.
 *
 *   load PORT PUBLISH PUBPORT FLAVOUR PATH CHANNEL [tls] [tokens=FILE]
 *
 *     PUBLISH   redis (PUBLISH commands to PUBPORT), xadd (XADD to streams instead), script:SHA (EVALSHA of a script
 *               that gets the key, MAXLEN and the message, and publishes the message behind the entry's ID and a space),
 *               protobuf (PUBLISH of a Publication of Centrifugo's protocol, which its nodes tell each other of messages
 *               with), http (POST requests to PUBPORT), or api:KEY (POST requests of Centrifugo's server API, with a key)
 *     FLAVOUR   ws, socketio (Socket.IO over Engine.IO's websocket transport), sse (server-sent events), or centrifugo
 *               (Centrifugo's client protocol in JSON; channel 7 is named b7, and messages are {"m":"..."})
 *     PATH      request target, %d stands for the number of the channel
 *     CHANNEL   Redis channel or stream, the request target to POST to, or the API's channel; %d as above
 *     tls       connect with TLS 1.3, verifying nothing; where this was compiled with OpenSSL (-DWITH_TLS)
 *     tokens    a file with a token on each line: each connection sends the next one as its credential
 *
 * Then it reads one command per line and answers each with one line of JSON:
 *
 *   connect n=1000 channels=1 first=0 each=1 slow=0 silent=0 window=32
 *                                           open n more connections, spread over `channels` channels from channel
 *                                           `first`; each=20: each is on the next 19 channels too, on which nothing is
 *                                           published (centrifugo alone); slow=1: never read after the handshake;
 *                                           silent=1: answer no ping
 *   sync                                    publish probes until every connection has had one
 *   paced rate=25 count=75 size=100 [side=50 side_channel=7]
 *                                           publish at a fixed rate, round robin over the channels; `side` messages
 *                                           per second go to one further channel and are reported apart
 *   burst messages=200 repeat=3 size=100    publish this many at once, wait for all of them, repeat
 *   flat total=50000 window=1000 size=100   keep `window` messages under way until `total` are delivered
 *   echo rate=2500 count=4000 size=100      each connection in turn publishes through itself on its own channel, and gets
 *                                           it back; window=500 instead of rate: so many are under way all the time
 *   offer rate=20000 seconds=5 size=100 limit=64 quiet=5
 *                                           the same, but a server may pause its clients, lose messages and close
 *                                           connections, which is counted: a connection with `limit` messages that its
 *                                           socket has not taken publishes no more (`withheld`). Then wait for what is
 *                                           still under way, until nothing has come for `quiet` seconds
 *   arrive n=10000 channels=1 first=1 side=100 side_channel=0
 *                                           begin to open n connections at once, and go on until each has had a probe.
 *                                           One that is refused tries again after Retry-After, or after a second;
 *                                           `side` messages per second as in paced
 *   idle seconds=2                          answer pings
 *   leave                                   close all connections with a reset; sse alone
 *   resume window=32                        open them again, each from its position, until each has had what it missed
 *   quit                                    close all with a reset (no TIME_WAIT is left behind), say the totals
 *
 * Every command takes timeout=SECONDS.  Written for Linux.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/ssl.h>
#else
typedef void SSL;
#endif

#define MAX_CONNS 19500
#define MAX_CHANNELS 20000
#define HEADER 37 /* "M" sequence(9) " " nanoseconds(19) " " channel(5) " " */
#define RING 65536 /* messages under way whose last delivery can be told */
#define BUFFER (1 << 20)
#define POSITION 64 /* bytes of the longest id of an event, with its end */
#define MAX_EACH 60 /* channels of one connection */
#define COMMANDS 4096 /* bytes of the longest frame that is sent */
#define WRAP_HEAD "{\"m\":\"" /* around a message that has to be JSON */
#define WRAP_TAIL "\"}"
#define MAXLEN "1000" /* entries of a stream */
#define EVENTS 256
#define FEW_EVENTS 16 /* of a turn where a message to one connection must not wait for others */
#define RETRY 1000000000u /* nanoseconds until a refused client tries again that was not told when */
#define MAX_TOKEN 512
#define TAG_PUBLISHER 0xffffffffu
#define TAG_TIMER 0xfffffffeu

enum { CONNECTING, SECURING, HANDSHAKE, OPENING, OPEN, CLOSED, REFUSED };

struct conn {
    int fd;
    uint8_t state, slow, synced, fragment; /* fragment: opcode of the message under way, 0 if none */
    uint8_t silent, pinged; /* silent: answers no ping; pinged: has not answered one */
    uint8_t ended; /* by the server's close frame; what follows is not looked at */
    SSL *ssl;
    uint8_t *queue; /* bytes that the socket has not taken */
    uint32_t queue_length, queue_sent, queue_capacity;
    uint32_t commands; /* publications so far, which number them in Centrifugo's protocol */
    uint64_t retry_at;
    uint32_t channel, expected;
    uint32_t each; /* its channels */
    uint64_t answered; /* a bit for each of its commands that has been answered */
    uint8_t *pending; /* bytes of an unfinished frame */
    uint8_t *message; /* a fragmented message, as far as it has come */
    uint32_t pending_length, message_length;
    char position[POSITION]; /* the last id of an event stream */
};

struct histogram {
    uint32_t buckets[64 * 64];
    uint64_t count, sum, max;
};

static struct conn *conns;
static uint32_t conn_count;
static uint32_t sequence[MAX_CHANNELS], subscribers[MAX_CHANNELS];
static uint32_t first_channel, channels = 1;
static int side_channel = -1;
static int epoll_fd, timer_fd, publisher_fd;
static enum { PUBLISH, XADD, SCRIPT, PROTOBUF, HTTP, API } mode;
static enum { WS, SOCKETIO, SSE, CENTRIFUGO } flavour;
static int server_port, publisher_port, resuming;
static const char *path_template, *channel_template, *publish_argument; /* the script's hash, or the key of the API */
static const char *wrap_head = "", *wrap_tail = "";
static size_t wrap; /* bytes around a message */
static uint8_t *buffer;
static int turn_events = EVENTS;
enum { STRICT, OFFERING, ARRIVING };
static int tolerant; /* unless STRICT: what the server refuses, loses and closes is counted, and no failure */
static char *tokens; /* MAX_TOKEN bytes each */
static uint32_t token_count;
#ifdef WITH_TLS
static SSL_CTX *tls;
#endif

/* the publisher's unsent bytes, and how far its replies have been read */
static char *out;
static size_t out_length, out_sent, out_capacity;
static uint64_t published, replies, publish_errors, unheard;

/* this command's figures */
static struct histogram latency, complete, side_latency;
static uint32_t remaining[RING];
static uint64_t delivered, side_delivered, expected_size;
/* this run's figures */
static uint64_t lost, late, malformed, closed_by_peer, total_bytes, total_frames, pings, unanswered;
static uint64_t pinged, refusals, acknowledged, withheld, offered, in_time;
static uint32_t open_count, opening, synced_count, refused_count, close_code;
static double all_open, subscribed;
static char failure[256];

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void fail(const char *what)
{
    if (!failure[0])
        snprintf(failure, sizeof failure, "%s", what);
}

/* --- histogram: 64 buckets to every power of two, so quantiles are right to 1.6 % -------------------------------- */

static void record(struct histogram *h, uint64_t value)
{
    unsigned index;
    if (value < 64)
        index = (unsigned)value;
    else {
        unsigned exponent = 63u - (unsigned)__builtin_clzll(value);
        index = (exponent - 5) * 64 + (unsigned)((value >> (exponent - 6)) & 63);
    }
    h->buckets[index]++;
    h->count++;
    h->sum += value;
    if (value > h->max)
        h->max = value;
}

static double quantile(const struct histogram *h, double q)
{
    uint64_t rank = (uint64_t)(q * (double)h->count), seen = 0;
    if (rank >= h->count)
        return (double)h->max;
    for (unsigned index = 0; index < 64 * 64; index++) {
        seen += h->buckets[index];
        if (seen > rank) {
            if (index < 64)
                return index;
            return (double)((64ull + index % 64) << (index / 64 - 1)) + (double)(1ull << (index / 64 - 1)) / 2;
        }
    }
    return (double)h->max;
}

static void print_histogram(const char *name, const struct histogram *h)
{
    printf(", \"%s\": {\"count\": %llu", name, (unsigned long long)h->count);
    if (h->count)
        printf(", \"mean\": %.1f, \"p50\": %.1f, \"p99\": %.1f, \"p999\": %.1f, \"max\": %.1f",
               (double)h->sum / (double)h->count / 1e3, quantile(h, .5) / 1e3, quantile(h, .99) / 1e3,
               quantile(h, .999) / 1e3, (double)h->max / 1e3);
    printf("}");
}

/* --- publishing --------------------------------------------------------------------------------------------------- */

static size_t fill_in(char *to, const char *template, uint32_t number)
{
    size_t length = 0;
    for (const char *p = template; *p; p++) {
        if (p[0] == '%' && p[1] == 'd') {
            length += (size_t)sprintf(to + length, "%u", number);
            p++;
        } else
            to[length++] = *p;
    }
    to[length] = 0;
    return length;
}

/* Connect to where messages are published. */
static int connect_publisher(void)
{
    struct sockaddr_in target = {.sin_family = AF_INET, .sin_port = htons((uint16_t)publisher_port)};
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = TAG_PUBLISHER};
    int on = 1;
    publisher_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(publisher_fd, (struct sockaddr *)&target, sizeof target) < 0)
        return 0;
    setsockopt(publisher_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return !epoll_ctl(epoll_fd, EPOLL_CTL_ADD, publisher_fd, &event);
}

static void flush_out(void)
{
    while (out_sent < out_length) {
        ssize_t n = send(publisher_fd, out + out_sent, out_length - out_sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0) {
            if (errno != EAGAIN && errno != EINTR)
                fail("the publishing connection broke");
            break;
        }
        out_sent += (size_t)n;
    }
    if (out_sent == out_length)
        out_sent = out_length = 0;
    struct epoll_event event = {.events = EPOLLIN | (out_length ? EPOLLOUT : 0u), .data.u32 = TAG_PUBLISHER};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, publisher_fd, &event);
}

/* A number of Protobuf: seven bits to a byte, the lowest first. */
static char *put_varint(char *to, size_t value)
{
    for (; value > 127; value >>= 7)
        *to++ = (char)(value | 0x80);
    *to++ = (char)value;
    return to;
}

/* Append one publication to the outgoing bytes; flush_out() sends them. */
static void publish(uint32_t channel, size_t size, int probe)
{
    if (out_length + size + 512 > out_capacity) {
        out_capacity = (out_length + size + 512) * 2;
        out = realloc(out, out_capacity);
    }
    char name[256];
    size_t length = fill_in(name, channel_template, channel);
    char *to = out + out_length;
    if (mode == HTTP)
        to += sprintf(to, "POST %s HTTP/1.1\r\nHost: bench\r\nContent-Length: %zu\r\n\r\n", name, size);
    else if (mode == API)
        to += sprintf(to, "POST /api/publish HTTP/1.1\r\nHost: bench\r\nX-API-Key: %s\r\n"
                      "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n{\"channel\":\"%s\",\"data\":",
                      publish_argument, size + length + sizeof "{\"channel\":\"\",\"data\":}" - 1, name);
    else if (mode == PROTOBUF) {
        char field[16]; /* the only one that it needs: number 4, bytes */
        size_t field_length = (size_t)(put_varint(field + 1, size) - field);
        field[0] = 4 << 3 | 2;
        to += sprintf(to, "*3\r\n$7\r\nPUBLISH\r\n$%zu\r\n%s\r\n$%zu\r\n", length, name, field_length + size);
        memcpy(to, field, field_length);
        to += field_length;
    }
    else if (mode == XADD)
        to += sprintf(to, "*8\r\n$4\r\nXADD\r\n$%zu\r\n%s\r\n$6\r\nMAXLEN\r\n$1\r\n~\r\n$%zu\r\n" MAXLEN
                      "\r\n$1\r\n*\r\n$4\r\ndata\r\n$%zu\r\n", length, name, sizeof MAXLEN - 1, size);
    else if (mode == SCRIPT)
        to += sprintf(to, "*6\r\n$7\r\nEVALSHA\r\n$%zu\r\n%s\r\n$1\r\n1\r\n$%zu\r\n%s\r\n$%zu\r\n" MAXLEN
                      "\r\n$%zu\r\n", strlen(publish_argument), publish_argument, length, name, sizeof MAXLEN - 1,
                      size);
    else
        to += sprintf(to, "*3\r\n$7\r\nPUBLISH\r\n$%zu\r\n%s\r\n$%zu\r\n", length, name, size);
    uint32_t number = probe ? 0 : sequence[channel]++;
    char head[HEADER + 1];
    snprintf(head, sizeof head, "%c%09u %019llu %05u ", probe ? 'P' : 'M', number % 1000000000u,
             (unsigned long long)now_ns(), channel);
    size_t padding = size - HEADER - wrap;
    to = stpcpy(to, wrap_head);
    memcpy(to, head, HEADER);
    memset(to + HEADER, 'x', padding);
    to = stpcpy(to + HEADER + padding, wrap_tail);
    if (mode == API)
        *to++ = '}';
    else if (mode != HTTP) {
        memcpy(to, "\r\n", 2);
        to += 2;
    }
    out_length = (size_t)(to - out);
    published++;
    if (!probe && channel == first_channel)
        remaining[number % RING] = subscribers[channel];
}

/* Replies are only counted: ":N" lines of Redis and the IDs of entries, status lines of HTTP. */
static void read_replies(void)
{
    static size_t matched;
    static char line[64];
    static size_t line_length;
    static int is_content; /* the line behind the length of a string */
    char chunk[65536];
    ssize_t n = recv(publisher_fd, chunk, sizeof chunk, MSG_DONTWAIT);
    if (n == 0 && (mode == HTTP || mode == API) && published == replies && !out_length) {
        /* servers of HTTP close a connection on which there is no request for a while */
        close(publisher_fd);
        if (!connect_publisher())
            fail("cannot connect to the publishing port again");
        return;
    }
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        fail("the publishing connection was closed");
    for (ssize_t i = 0; i < n; i++) {
        char byte = chunk[i];
        if (mode == HTTP || mode == API) {
            static const char status[] = "HTTP/1.1 ";
            if (matched == sizeof status - 1) {
                replies++;
                if (byte != '2')
                    publish_errors++;
                matched = 0;
            } else
                matched = byte == status[matched] ? matched + 1 : byte == 'H';
        } else if (byte == '\n') {
            line[line_length] = 0;
            line_length = 0;
            if (is_content) {
                is_content = 0;
                continue;
            }
            replies++;
            is_content = line[0] == '$';
            if (line[0] != ':' && (line[0] != '$' || mode != XADD))
                publish_errors++;
            else if (line[0] == ':' && line[1] == '0')
                unheard++;
        } else if (line_length < sizeof line - 1)
            line[line_length++] = byte;
    }
    /* the API tells of errors in its answers, whose status is 200 */
    if (publish_errors || (mode == API && n > 0 && memmem(chunk, (size_t)n, "{\"error\"", 8)))
        fail("a publication was refused");
}

/* --- receiving ---------------------------------------------------------------------------------------------------- */

static uint64_t digits(const uint8_t *p, int count)
{
    uint64_t value = 0;
    while (count--) {
        if (*p < '0' || *p > '9')
            malformed++;
        value = value * 10 + (uint64_t)(*p++ - '0');
    }
    return value;
}

/* recv() and send(), or the same through TLS: -1 with EAGAIN if it has to wait, 0 at the end. */
static ssize_t take(struct conn *c, void *to, size_t size)
{
#ifdef WITH_TLS
    if (c->ssl) {
        int n = SSL_read(c->ssl, to, (int)size);
        if (n > 0)
            return n;
        int error = SSL_get_error(c->ssl, n);
        errno = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? EAGAIN : ECONNRESET;
        return error == SSL_ERROR_ZERO_RETURN ? 0 : -1;
    }
#endif
    return recv(c->fd, to, size, MSG_DONTWAIT);
}

static ssize_t give(struct conn *c, const void *from, size_t size)
{
#ifdef WITH_TLS
    if (c->ssl) {
        int n = SSL_write(c->ssl, from, (int)size);
        if (n > 0)
            return n;
        int error = SSL_get_error(c->ssl, n);
        errno = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? EAGAIN : ECONNRESET;
        return -1;
    }
#endif
    return send(c->fd, from, size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void watch(struct conn *c, uint32_t wanted)
{
    struct epoll_event event = {.events = wanted, .data.u32 = (uint32_t)(c - conns)};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
}

/* Send what waits, as far as the socket takes it. */
static void flush_queue(struct conn *c)
{
    while (c->queue_sent < c->queue_length) {
        ssize_t n = give(c, c->queue + c->queue_sent, c->queue_length - c->queue_sent);
        if (n <= 0)
            break; /* a broken connection is noticed when it is read */
        c->queue_sent += (uint32_t)n;
    }
    if (c->queue_sent < c->queue_length)
        return;
    c->queue_sent = c->queue_length = 0;
    watch(c, EPOLLIN);
}

/* Send in order; what the socket does not take now is kept. */
static void send_bytes(struct conn *c, const uint8_t *bytes, size_t length)
{
    if (c->queue_length == c->queue_sent) {
        ssize_t n = give(c, bytes, length);
        if (n == (ssize_t)length)
            return;
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            unanswered++;
            return;
        }
        if (n > 0) {
            bytes += n;
            length -= (size_t)n;
        }
        watch(c, EPOLLIN | EPOLLOUT);
    }
    if (c->queue_sent) {
        c->queue_length -= c->queue_sent;
        memmove(c->queue, c->queue + c->queue_sent, c->queue_length);
        c->queue_sent = 0;
    }
    if (c->queue_length + length > c->queue_capacity) {
        c->queue_capacity = (uint32_t)(c->queue_length + length) * 2;
        c->queue = realloc(c->queue, c->queue_capacity);
    }
    memcpy(c->queue + c->queue_length, bytes, length);
    c->queue_length += (uint32_t)length;
}

static void send_frame(struct conn *c, int opcode, const uint8_t *payload, size_t length)
{
    uint8_t frame[8 + COMMANDS]; /* a ping has 125 bytes at most */
    size_t header = length > 125 ? 8 : 6;
    frame[0] = (uint8_t)(0x80 | opcode);
    frame[1] = (uint8_t)(0x80 | (length > 125 ? 126 : length));
    frame[2] = (uint8_t)(length >> 8);
    frame[3] = (uint8_t)length;
    /* a zero mask is as valid as any other and leaves the payload as it is */
    memset(frame + header - 4, 0, 4);
    memcpy(frame + header, payload, length);
    send_bytes(c, frame, header + length);
}

/* Answer a ping, unless this connection answers none. */
static void pong(struct conn *c, int opcode, const uint8_t *payload, size_t length)
{
    pings++;
    if (!c->silent)
        send_frame(c, opcode, payload, length);
    else if (!c->pinged) {
        c->pinged = 1;
        pinged++;
    }
}

/* Publish through a connection on its own channel. */
static void publish_through(struct conn *c, size_t size)
{
    char text[COMMANDS], *to = text;
    if (flavour == CENTRIFUGO)
        to += sprintf(to, "{\"id\":%u,\"publish\":{\"channel\":\"b%u\",\"data\":", ++c->commands + c->each + 1, c->channel);
    else if (flavour == SOCKETIO)
        to = stpcpy(to, "42[\"m\",\"");
    to = stpcpy(to, wrap_head);
    to += sprintf(to, "M%09u %019llu %05u ", sequence[c->channel]++ % 1000000000u, (unsigned long long)now_ns(), c->channel);
    size_t padding = size - HEADER - wrap;
    memset(to, 'x', padding);
    to = stpcpy(to + padding, wrap_tail);
    if (flavour == CENTRIFUGO)
        to = stpcpy(to, "}}");
    else if (flavour == SOCKETIO)
        to = stpcpy(to, "\"]");
    send_frame(c, 1, (const uint8_t *)text, (size_t)(to - text));
}

/* Close a connection from this side, with a reset. */
static void close_connection(struct conn *c)
{
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
#ifdef WITH_TLS
    if (c->ssl)
        SSL_free(c->ssl);
#endif
    c->ssl = NULL;
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(c->fd);
    free(c->pending);
    free(c->message);
    free(c->queue);
    c->pending = c->message = c->queue = NULL;
    c->pending_length = c->queue_length = c->queue_sent = c->queue_capacity = 0;
    c->fragment = c->ended = 0;
}

/* The server has refused or closed a connection, and that is counted. In `arrive` it is tried again. */
static void turned_away(struct conn *c, int arriving, uint64_t wait)
{
    if (c->state == OPEN) {
        open_count--;
        subscribers[c->channel]--;
        if (c->synced)
            synced_count--;
        c->synced = 0;
    } else
        opening--;
    close_connection(c);
    closed_by_peer++;
    c->state = CLOSED;
    if (arriving) {
        refusals++;
        refused_count++;
        c->state = REFUSED;
        c->retry_at = now_ns() + wait;
    }
}

static void opened(struct conn *c)
{
    c->state = OPEN;
    opening--;
    open_count++;
    if (resuming) {
        subscribers[c->channel]++;
        return;
    }
    if (c->slow) { /* from here on nobody looks at this socket */
        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
        return;
    }
    subscribers[c->channel]++;
    c->expected = sequence[c->channel];
}

/* The credential of a connection, or an empty text. */
static const char *token_of(const struct conn *c)
{
    return token_count ? tokens + (size_t)((uint32_t)(c - conns) % token_count) * MAX_TOKEN : "";
}

/* Connect, and subscribe to all channels, in one frame. */
static void send_commands(struct conn *c)
{
    char text[COMMANDS];
    const char *token = token_of(c);
    int length = *token ? sprintf(text, "{\"id\":1,\"connect\":{\"token\":\"%s\"}}", token)
                        : sprintf(text, "{\"id\":1,\"connect\":{}}");
    for (uint32_t i = 0; i < c->each; i++)
        length += sprintf(text + length, "\n{\"id\":%u,\"subscribe\":{\"channel\":\"b%u\"}}", i + 2, c->channel + i);
    send_frame(c, 1, (const uint8_t *)text, (size_t)length);
}

static void on_publication(struct conn *c, const uint8_t *p, size_t length, uint64_t now);

/* One object of Centrifugo's protocol: a ping, a reply, or a push. */
static void on_object(struct conn *c, const uint8_t *p, size_t length, uint64_t now)
{
    if (length == 2 && !memcmp(p, "{}", 2)) {
        pong(c, 1, p, 2);
        return;
    }
    if (c->state == OPENING) {
        char text[64] = "", method[16] = "";
        unsigned id = 0;
        memcpy(text, p, length < sizeof text ? length : sizeof text - 1);
        if (sscanf(text, "{\"id\":%u,\"%15[a-z]\":{", &id, method) == 2 && !strcmp(method, "error"))
            fail("a command was refused");
        else if (!id || id > c->each + 1 || c->answered >> id & 1 || strcmp(method, id == 1 ? "connect" : "subscribe"))
            malformed++;
        else {
            c->answered |= 1ull << id;
            if (c->answered == (2ull << (c->each + 1)) - 2) /* the ids are 1, 2, and so on */
                opened(c);
        }
        return;
    }
    if (c->commands && length > 6 && !memcmp(p, "{\"id\":", 6)) {
        if (memmem(p, length, ",\"publish\":{", 12))
            acknowledged++;
        else if (!tolerant)
            fail("a client's publication was refused");
        return;
    }
    char head[64];
    size_t head_length = (size_t)snprintf(head, sizeof head, "{\"push\":{\"channel\":\"b%u\",\"pub\":{", c->channel);
    const uint8_t *end = p + length, *message = NULL, *quote = NULL;
    if (length > head_length && !memcmp(p, head, head_length))
        message = memmem(p + head_length, length - head_length, WRAP_HEAD, sizeof WRAP_HEAD - 1);
    if (message) {
        message += sizeof WRAP_HEAD - 1;
        quote = memchr(message, '"', (size_t)(end - message));
    }
    /* behind the message its own object ends, then perhaps there is more about it, then three objects end */
    if (!quote || end - quote < 5 || quote[1] != '}' || memcmp(end - 3, "}}}", 3)
        || (quote + 5 != end && quote[2] != ',')) {
        malformed++;
        return;
    }
    on_publication(c, message, (size_t)(quote - message), now);
}

/* One whole message. */
static void on_message(struct conn *c, const uint8_t *p, size_t length, uint64_t now)
{
    if (flavour == CENTRIFUGO) {
        const uint8_t *feed;
        for (; (feed = memchr(p, '\n', length)); p = feed + 1) {
            on_object(c, p, (size_t)(feed - p), now);
            length -= (size_t)(feed + 1 - p);
        }
        if (length) /* the last one may have a line feed as well */
            on_object(c, p, length, now);
        return;
    }
    if (flavour == SOCKETIO) {
        if (length && p[0] == '2') {
            pong(c, 1, (const uint8_t *)"3", 1);
            return;
        }
        if (c->state == OPENING) {
            if (length && p[0] == '0')
                send_frame(c, 1, (const uint8_t *)"40", 2);
            else if (length >= 2 && !memcmp(p, "40", 2))
                opened(c);
            else
                malformed++;
            return;
        }
        if (length < 10 + HEADER || memcmp(p, "42[\"m\",\"", 8)) {
            malformed++;
            return;
        }
        p += 8;
        length -= 10;
    }
    if (mode == SCRIPT) {
        const uint8_t *space = memchr(p, ' ', length);
        if (!space || *p < '0' || *p > '9') {
            malformed++;
            return;
        }
        length -= (size_t)(space + 1 - p);
        p = space + 1;
    }
    on_publication(c, p, length, now);
}

/* What was published. */
static void on_publication(struct conn *c, const uint8_t *p, size_t length, uint64_t now)
{
    if (length < HEADER || (p[0] != 'M' && p[0] != 'P')) {
        malformed++;
        return;
    }
    if (p[0] == 'P') {
        if (!c->synced) {
            c->synced = 1;
            synced_count++;
        }
        return;
    }
    uint32_t number = (uint32_t)digits(p + 1, 9);
    uint64_t sent = digits(p + 11, 19);
    if (digits(p + 31, 5) != c->channel || length + wrap != expected_size) {
        malformed++;
        return;
    }
    if (number < c->expected) { /* a second copy, or one that others have overtaken */
        late++;
        return;
    }
    lost += number - c->expected;
    c->expected = number + 1;
    if ((int)c->channel == side_channel) {
        side_delivered++;
        record(&side_latency, now - sent);
        return;
    }
    delivered++;
    record(&latency, now - sent);
    if (channels == 1 && --remaining[number % RING] == 0)
        record(&complete, now - sent);
}

/* One event of an event stream: the length bytes at p are its lines, each with its line feed. */
static void on_event(struct conn *c, const uint8_t *p, size_t length, uint64_t now)
{
    const uint8_t *end = p + length, *data = NULL;
    size_t data_length = 0;
    int subscribed = 0;
    total_frames++;
    while (p < end) {
        const uint8_t *feed = memchr(p, '\n', (size_t)(end - p));
        size_t line = (size_t)(feed - p);
        if (line > 6 && !memcmp(p, "data: ", 6)) {
            if (data) /* no message here has a line feed */
                malformed++;
            data = p + 6;
            data_length = line - 6;
        } else if (line > 4 && line < 4 + POSITION && !memcmp(p, "id: ", 4)) {
            memcpy(c->position, p + 4, line - 4);
            c->position[line - 4] = 0;
        } else if (line && p[0] == ':')
            pings++;
        else if (line == 17 && !memcmp(p, "event: subscribed", 17))
            subscribed = 1;
        else if (line > 7 && !memcmp(p, "event: ", 7))
            fail("an event that is no message, such as a gap");
        else if (line < 7 || memcmp(p, "retry: ", 7))
            malformed++;
        p = feed + 1;
    }
    if (subscribed && c->state == OPENING)
        opened(c);
    else if (subscribed)
        malformed++;
    else if (data)
        on_message(c, data, data_length, now);
}

static size_t consume_events(struct conn *c, const uint8_t *b, size_t n, uint64_t now)
{
    size_t offset = 0;
    const uint8_t *end;
    while ((end = memmem(b + offset, n - offset, "\n\n", 2))) {
        on_event(c, b + offset, (size_t)(end - b) + 1 - offset, now);
        offset = (size_t)(end - b) + 2;
    }
    return offset;
}

/* Take what is whole out of the n bytes at b; say how many bytes that was. */
static size_t consume(struct conn *c, uint8_t *b, size_t n, uint64_t now)
{
    size_t offset = 0;
    if (c->state == HANDSHAKE) {
        uint8_t *end = memmem(b, n, "\r\n\r\n", 4);
        if (!end)
            return 0;
        offset = (size_t)(end - b) + 4;
        /* the answer that belongs to the key of RFC 6455's example, which all connections send */
        const char *status = flavour == SSE ? "HTTP/1.1 200" : "HTTP/1.1 101";
        const char *sign = flavour == SSE ? "text/event-stream" : "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        if (n < 12 || memcmp(b, status, 12) || !memmem(b, offset, sign, strlen(sign))) {
            if (tolerant) {
                uint8_t *field = memmem(b, offset, "\r\nRetry-After:", 14);
                turned_away(c, 1, field ? (uint64_t)(strtod((char *)field + 14, NULL) * 1e9) : RETRY);
                return n;
            }
            char what[64];
            snprintf(what, sizeof what, "handshake refused: %.*s", (int)(n < 40 ? n : 40), b);
            what[strcspn(what, "\r\n")] = 0;
            fail(what);
            c->state = CLOSED;
            return n;
        }
        c->state = OPENING;
        if (flavour == WS)
            opened(c);
        else if (flavour == CENTRIFUGO)
            send_commands(c);
    }
    if (flavour == SSE)
        return offset + consume_events(c, b + offset, n - offset, now);
    while (n - offset >= 2) {
        uint8_t *frame = b + offset;
        size_t header = 2, length = frame[1] & 0x7f;
        if (length == 126) {
            header = 4;
            if (n - offset < header)
                break;
            length = (size_t)frame[2] << 8 | frame[3];
        } else if (length == 127) {
            header = 10;
            if (n - offset < header)
                break;
            length = 0;
            for (int i = 2; i < 10; i++)
                length = length << 8 | frame[i];
        }
        if (n - offset < header + length)
            break;
        uint8_t *payload = frame + header;
        int opcode = frame[0] & 15, final = frame[0] & 0x80;
        offset += header + length;
        total_frames++;
        if (frame[0] & 0x70 || frame[1] & 0x80)
            malformed++;
        else if (opcode == 9) {
            pong(c, 10, payload, length);
        } else if (opcode == 8 && tolerant) {
            if (length >= 2)
                close_code = (uint32_t)(payload[0] << 8 | payload[1]);
            c->ended = 1;
            return n;
        } else if (opcode == 8) {
            fail("a connection was closed by the server's close frame");
        } else if (opcode == 10) {
            /* an unasked pong is allowed and means nothing */
        } else if (opcode > 2 || (opcode == 0) != (c->fragment != 0)) {
            malformed++;
        } else if (opcode && final) {
            on_message(c, payload, length, now);
        } else {
            if (opcode) {
                c->fragment = (uint8_t)opcode;
                c->message_length = 0;
            }
            c->message = realloc(c->message, c->message_length + length + 1);
            memcpy(c->message + c->message_length, payload, length);
            c->message_length += (uint32_t)length;
            if (final) {
                c->fragment = 0;
                on_message(c, c->message, c->message_length, now);
            }
        }
    }
    return offset;
}

/* Read once; say whether there may be more, which epoll does not tell of with TLS. */
static int on_readable(struct conn *c)
{
    size_t have = c->pending_length;
    if (have)
        memcpy(buffer, c->pending, have);
    ssize_t n = take(c, buffer + have, BUFFER - have);
    if (n <= 0) {
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return 0;
        if (tolerant) {
            turned_away(c, tolerant == ARRIVING, RETRY);
            return 0;
        }
        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
        c->state = CLOSED;
        closed_by_peer++;
        fail("a connection was closed by the server");
        return 0;
    }
    total_bytes += (uint64_t)n;
    have += (size_t)n;
    buffer[have] = 0;
    size_t used = consume(c, buffer, have, now_ns());
    if (c->ended)
        turned_away(c, tolerant == ARRIVING, RETRY);
    if (c->state == CLOSED || c->state == REFUSED)
        return 0;
    size_t rest = have - used;
    if (rest == BUFFER) {
        fail("a frame is larger than the receive buffer");
        rest = 0;
    }
    if (rest) {
        c->pending = realloc(c->pending, rest);
        memcpy(c->pending, buffer + used, rest);
    } else if (c->pending) {
        free(c->pending);
        c->pending = NULL;
    }
    c->pending_length = (uint32_t)rest;
    return 1;
}

static void send_request(struct conn *c)
{
    char path[256], request[1024 + MAX_TOKEN];
    fill_in(path, path_template, c->channel);
    int length = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n", path, server_port);
    if (flavour != CENTRIFUGO && token_count)
        length += sprintf(request + length, "Authorization: Bearer %s\r\n", token_of(c));
    char *rest = request + length;
    if (flavour == SSE)
        length += sprintf(rest, "Accept: text/event-stream\r\n%s%s%s\r\n", c->position[0] ? "Last-Event-ID: " : "",
                          c->position, c->position[0] ? "\r\n" : "");
    else
        length += sprintf(rest, "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n");
    c->state = HANDSHAKE;
    watch(c, EPOLLIN);
    send_bytes(c, (const uint8_t *)request, (size_t)length);
}

/* Go on with the handshake of TLS. */
static void secure(struct conn *c)
{
#ifdef WITH_TLS
    int result = SSL_connect(c->ssl);
    if (result == 1)
        send_request(c);
    else {
        int error = SSL_get_error(c->ssl, result);
        if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
            watch(c, error == SSL_ERROR_WANT_READ ? EPOLLIN : EPOLLOUT);
        else
            fail("the handshake of TLS failed");
    }
#else
    (void)c;
#endif
}

/* The connection of TCP is there, or has failed. */
static void connected(struct conn *c)
{
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error && tolerant)
        turned_away(c, 1, RETRY);
    else if (error)
        fail(strerror(error));
#ifdef WITH_TLS
    else if (tls) {
        c->ssl = SSL_new(tls);
        SSL_set_fd(c->ssl, c->fd);
        c->state = SECURING;
        secure(c);
    }
#endif
    else
        send_request(c);
}

/* One turn of the loop: wait until something happens or `until`, and handle it. */
static void turn(uint64_t until)
{
    struct epoll_event events[EVENTS];
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)(until / 1000000000u), .tv_nsec = (long)(until % 1000000000u)}};
    /* a timer descriptor, because epoll_wait() counts in milliseconds */
    timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
    int n = epoll_wait(epoll_fd, events, turn_events, -1);
    for (int i = 0; i < n; i++) {
        uint32_t tag = events[i].data.u32;
        if (tag == TAG_TIMER) {
            uint64_t expirations;
            if (read(timer_fd, &expirations, sizeof expirations) < 0)
                continue;
        } else if (tag == TAG_PUBLISHER) {
            if (events[i].events & EPOLLOUT)
                flush_out();
            if (events[i].events & ~(uint32_t)EPOLLOUT)
                read_replies();
        } else if (conns[tag].state == CONNECTING)
            connected(&conns[tag]);
        else if (conns[tag].state == SECURING)
            secure(&conns[tag]);
        else if (conns[tag].state != CLOSED && conns[tag].state != REFUSED) {
            if (events[i].events & EPOLLOUT)
                flush_queue(&conns[tag]);
            if (events[i].events & ~(uint32_t)EPOLLOUT)
                while (on_readable(&conns[tag]) && conns[tag].ssl)
                    ;
        }
    }
}

/* --- commands ----------------------------------------------------------------------------------------------------- */

static double argument(const char *line, const char *name, double otherwise)
{
    char key[32];
    int length = snprintf(key, sizeof key, " %s=", name);
    const char *found = strstr(line, key);
    return found ? atof(found + length) : otherwise;
}

static void begin(void)
{
    memset(&latency, 0, sizeof latency);
    memset(&complete, 0, sizeof complete);
    memset(&side_latency, 0, sizeof side_latency);
    delivered = side_delivered = 0;
    refusals = withheld = offered = in_time = 0;
    close_code = 0;
    all_open = subscribed = 0;
}

static void answer(uint64_t started, uint64_t expected, uint64_t side_expected)
{
    int ok = !failure[0] && (!lost || tolerant) && !late && !malformed;
    if (ok && !(tolerant == OFFERING) && (delivered != expected || side_delivered != side_expected)) {
        ok = 0;
        fail("deadline passed with messages missing");
    }
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"ok\": %s, \"failure\": \"%s\", \"seconds\": %.6f, \"expected\": %llu, \"delivered\": %llu, "
           "\"side_delivered\": %llu, \"lost\": %llu, \"late\": %llu, \"malformed\": %llu, \"unheard\": %llu, "
           "\"open\": %u, \"pings\": %llu, \"pinged\": %llu, \"closed\": %llu, \"close_code\": %u, "
           "\"refusals\": %llu, \"withheld\": %llu, \"offered\": %llu, \"in_time\": %llu, \"all_open\": %.6f, \"subscribed\": %.6f, "
           "\"unanswered\": %llu, \"frames\": %llu, \"bytes\": %llu, \"cpu\": %.6f",
           ok ? "true" : "false", !failure[0] && !ok ? "lost, late or malformed messages" : failure,
           (double)(now_ns() - started) / 1e9, (unsigned long long)expected, (unsigned long long)delivered,
           (unsigned long long)side_delivered, (unsigned long long)lost, (unsigned long long)late,
           (unsigned long long)malformed, (unsigned long long)unheard, open_count, (unsigned long long)pings,
           (unsigned long long)pinged, (unsigned long long)closed_by_peer, close_code, (unsigned long long)refusals,
           (unsigned long long)withheld, (unsigned long long)offered, (unsigned long long)in_time, all_open, subscribed,
           (unsigned long long)unanswered, (unsigned long long)total_frames, (unsigned long long)total_bytes,
           (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
               + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    print_histogram("latency", &latency);
    print_histogram("complete", &complete);
    print_histogram("side_latency", &side_latency);
    printf("}\n");
    fflush(stdout);
}

static int broken(uint64_t deadline)
{
    return failure[0] || late || malformed || now_ns() > deadline;
}

static void start_connection(uint32_t index, uint32_t channel, uint32_t each, int slow)
{
    struct conn *c = &conns[index];
    struct sockaddr_in source = {.sin_family = AF_INET}, target = {.sin_family = AF_INET};
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        fail("no descriptor for another connection");
        return;
    }
    c->channel = channel;
    c->each = each;
    c->answered = 0;
    c->slow = (uint8_t)slow;
    c->state = CONNECTING;
    if (slow) {
        int small = 4096;
        setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    /* another loopback address for every 8,000: the ephemeral ports of one would run short */
    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + index / 8000);
    target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    target.sin_port = htons((uint16_t)server_port);
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(c->fd, (struct sockaddr *)&source, sizeof source) < 0
        || (connect(c->fd, (struct sockaddr *)&target, sizeof target) < 0 && errno != EINPROGRESS)) {
        fail(strerror(errno));
        return;
    }
    struct epoll_event event = {.events = EPOLLOUT, .data.u32 = index};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event);
    opening++;
}

static void do_connect(const char *line, uint64_t started, uint64_t deadline)
{
    uint32_t n = (uint32_t)argument(line, "n", 1), spread = (uint32_t)argument(line, "channels", 1);
    uint32_t first = (uint32_t)argument(line, "first", 0), window = (uint32_t)argument(line, "window", 32);
    uint32_t each = (uint32_t)argument(line, "each", 1);
    int slow = (int)argument(line, "slow", 0), silent = (int)argument(line, "silent", 0);
    uint32_t from = conn_count, target = open_count + n;
    begin();
    if (conn_count + n > MAX_CONNS || first + spread > MAX_CHANNELS || each > MAX_EACH) {
        fail("too many connections or channels for one process");
        n = 0;
    }
    while (open_count < target && !broken(deadline)) {
        /* only so many at a time: some servers listen with a backlog of 50 */
        while (opening < window && conn_count < from + n && !failure[0]) {
            conns[conn_count].silent = (uint8_t)silent;
            start_connection(conn_count, first + (conn_count - from) % spread, each, slow);
            conn_count++;
        }
        turn(deadline);
    }
    if (open_count < target)
        fail("deadline passed before all connections were open");
    answer(started, 0, 0);
}

static void do_sync(uint64_t started, uint64_t deadline)
{
    uint32_t readers = 0;
    uint64_t last = 0;
    begin();
    for (uint32_t i = 0; i < conn_count; i++)
        readers += !conns[i].slow;
    while (synced_count < readers && !broken(deadline)) {
        uint64_t now = now_ns();
        if (now - last > 300000000u) {
            uint8_t *asked = calloc(MAX_CHANNELS, 1);
            for (uint32_t i = 0; i < conn_count; i++)
                if (!conns[i].slow && !conns[i].synced && !asked[conns[i].channel]) {
                    asked[conns[i].channel] = 1;
                    publish(conns[i].channel, HEADER + wrap, 1);
                }
            free(asked);
            flush_out();
            last = now;
        }
        turn(now_ns() + 50000000u);
    }
    if (synced_count < readers)
        fail("deadline passed before every connection had a probe");
    unheard = 0;
    answer(started, 0, 0);
}

static void do_paced(const char *line, uint64_t started, uint64_t deadline)
{
    uint64_t count = (uint64_t)argument(line, "count", 25), sent = 0, side_sent = 0, expected = 0;
    double interval = 1e9 / argument(line, "rate", 25), side = argument(line, "side", 0);
    size_t size = expected_size = (uint64_t)argument(line, "size", 100);
    first_channel = (uint32_t)argument(line, "first", 0);
    channels = (uint32_t)argument(line, "channels", 1);
    side_channel = side > 0 ? (int)argument(line, "side_channel", 1) : -1;
    begin();
    while ((sent < count || delivered + lost < expected || side_delivered < side_sent) && !broken(deadline)) {
        uint64_t now = now_ns(), next = deadline;
        int wrote = 0;
        while (sent < count && (double)(now - started) >= (double)sent * interval) {
            uint32_t channel = first_channel + (uint32_t)(sent % channels);
            publish(channel, size, 0);
            expected += subscribers[channel];
            sent++;
            wrote = 1;
        }
        if (sent < count) {
            next = started + (uint64_t)((double)sent * interval);
            while (side > 0 && (double)(now - started) >= (double)side_sent * 1e9 / side) {
                publish((uint32_t)side_channel, size, 0);
                side_sent++;
                wrote = 1;
            }
            if (side > 0) {
                uint64_t other = started + (uint64_t)((double)side_sent * 1e9 / side);
                next = other < next ? other : next;
            }
        }
        if (wrote)
            flush_out();
        turn(next < deadline ? next : deadline);
    }
    answer(started, expected, side_sent);
}

static void do_burst(const char *line, uint64_t started, uint64_t deadline)
{
    uint32_t messages = (uint32_t)argument(line, "messages", 200), repeat = (uint32_t)argument(line, "repeat", 1);
    size_t size = expected_size = (uint64_t)argument(line, "size", 100);
    uint64_t expected = 0;
    first_channel = (uint32_t)argument(line, "first", 0);
    channels = 1;
    side_channel = -1;
    begin();
    for (uint32_t i = 0; i < repeat && !broken(deadline); i++) {
        for (uint32_t m = 0; m < messages; m++)
            publish(first_channel, size, 0);
        expected += (uint64_t)messages * subscribers[first_channel];
        flush_out();
        while (delivered + lost < expected && !broken(deadline))
            turn(deadline);
    }
    answer(started, expected, 0);
}

static void do_flat(const char *line, uint64_t started, uint64_t deadline)
{
    uint64_t total = (uint64_t)argument(line, "total", 50000), window = (uint64_t)argument(line, "window", 1000);
    size_t size = expected_size = (uint64_t)argument(line, "size", 100);
    uint64_t sent = 0, expected = 0;
    first_channel = (uint32_t)argument(line, "first", 0);
    channels = (uint32_t)argument(line, "channels", 1000);
    side_channel = -1;
    begin();
    while ((sent < total || delivered + lost < expected) && !broken(deadline)) {
        int wrote = 0;
        while (sent < total && expected - delivered < window) {
            uint32_t channel = first_channel + (uint32_t)(sent % channels);
            publish(channel, size, 0);
            expected += subscribers[channel];
            sent++;
            wrote = 1;
        }
        if (wrote)
            flush_out();
        turn(deadline);
    }
    answer(started, expected, 0);
}

static void do_idle(const char *line, uint64_t started, uint64_t deadline)
{
    uint64_t until = started + (uint64_t)(argument(line, "seconds", 1) * 1e9);
    begin();
    while (now_ns() < until && !broken(deadline))
        turn(until < deadline ? until : deadline);
    answer(started, 0, 0);
}

static void close_all(void)
{
    for (uint32_t i = 0; i < conn_count; i++) {
        if (conns[i].state != CLOSED && conns[i].state != REFUSED)
            close_connection(&conns[i]);
        conns[i].state = CLOSED;
    }
    open_count = 0;
    memset(subscribers, 0, sizeof subscribers);
}

/* Each connection in turn publishes through itself: at a rate, or so many under way; see `echo` and `offer`. */
static void do_echo(const char *line, uint64_t started, uint64_t deadline, int offering)
{
    double rate = argument(line, "rate", 0), seconds = argument(line, "seconds", 0);
    uint64_t count = offering ? (uint64_t)(rate * seconds) : (uint64_t)argument(line, "count", 1000);
    uint64_t window = (uint64_t)argument(line, "window", 0), due = 0, sent = 0, quiet_since = now_ns(), seen = 0;
    size_t size = expected_size = (uint64_t)argument(line, "size", 100);
    size_t limit = (size_t)argument(line, "limit", 64) * (size + 16);
    double quiet = argument(line, "quiet", 5) * 1e9;
    begin();
    channels = 0; /* each message has one subscriber, so that its last delivery is its only one */
    side_channel = -1;
    tolerant = offering ? OFFERING : STRICT;
    while (open_count && !broken(deadline)) {
        uint64_t now = now_ns(), next = deadline;
        while (due < count && (rate ? (double)(now - started) >= (double)due * 1e9 / rate : due - delivered < window)) {
            struct conn *c = &conns[due++ % conn_count];
            if (c->state != OPEN || c->queue_length - c->queue_sent > limit)
                withheld++;
            else {
                publish_through(c, size);
                sent++;
            }
        }
        if (due < count && rate)
            next = started + (uint64_t)((double)due * 1e9 / rate);
        if (offering && (double)(now - started) <= seconds * 1e9)
            in_time = delivered;
        if (delivered != seen) {
            seen = delivered;
            quiet_since = now;
        }
        /* what a server has lost does not come */
        if (due == count && (delivered + (offering ? 0 : lost) >= sent || (offering && (double)(now - quiet_since) > quiet)))
            break;
        turn(next < now + 100000000u ? next : now + 100000000u);
    }
    offered = due;
    lost = offering ? sent - delivered : lost;
    answer(started, sent, 0);
    tolerant = STRICT;
    lost = offering ? 0 : lost;
}

static void do_arrive(const char *line, uint64_t started, uint64_t deadline)
{
    uint32_t n = (uint32_t)argument(line, "n", 1000), spread = (uint32_t)argument(line, "channels", 1);
    uint32_t first = (uint32_t)argument(line, "first", 1), from = conn_count, target = open_count + n;
    double side = argument(line, "side", 0);
    struct conn *bystander = NULL;
    uint64_t side_sent = 0, last_probe = 0, last_retry = 0;
    expected_size = (uint64_t)argument(line, "size", 100);
    begin();
    channels = 0;
    if (conn_count + n > MAX_CONNS || first + spread > MAX_CHANNELS) {
        fail("too many connections or channels for one process");
        n = 0;
    }
    side_channel = side > 0 ? (int)argument(line, "side_channel", 0) : -1;
    tolerant = ARRIVING;
    turn_events = FEW_EVENTS;
    for (uint32_t i = 0; i < from; i++)
        if ((int)conns[i].channel == side_channel)
            bystander = &conns[i];
    while (!broken(deadline)) {
        uint64_t now = now_ns(), next = now + 20000000u;
        int wrote = 0, is_done = open_count >= target && synced_count >= target;
        /* a few at a time, so that the bystander's messages are sent and read in between */
        for (int i = 0; i < FEW_EVENTS && conn_count < from + n && !failure[0]; i++, next = now) {
            start_connection(conn_count, first + (conn_count - from) % spread, 1, 0);
            conn_count++;
        }
        if (refused_count && now - last_retry > 5000000u) {
            last_retry = now;
            for (uint32_t i = from; i < conn_count; i++)
                if (conns[i].state == REFUSED && conns[i].retry_at <= now) {
                    refused_count--;
                    start_connection(i, conns[i].channel, 1, 0);
                }
        }
        if (open_count >= target && !all_open)
            all_open = (double)(now - started) / 1e9;
        if (is_done && !subscribed)
            subscribed = (double)(now - started) / 1e9;
        if (open_count >= target && !is_done && now - last_probe > 300000000u) {
            for (uint32_t i = 0; i < spread; i++)
                publish(first + i, HEADER + wrap, 1);
            last_probe = now;
            wrote = 1;
        }
        while (!is_done && side > 0 && (double)(now - started) >= (double)side_sent * 1e9 / side) {
            publish((uint32_t)side_channel, expected_size, 0);
            side_sent++;
            wrote = 1;
        }
        if (side > 0) {
            uint64_t other = started + (uint64_t)((double)side_sent * 1e9 / side);
            next = other < next ? other : next;
        }
        if (wrote)
            flush_out();
        if (is_done && side_delivered >= side_sent)
            break;
        turn(next);
        /* epoll tells of sockets in their order: the bystander's would come behind thousands of others */
        while (bystander && bystander->state == OPEN && on_readable(bystander))
            ;
    }
    if (open_count < target || synced_count < target)
        fail("deadline passed before every connection was subscribed");
    turn_events = EVENTS;
    answer(started, 0, side_sent);
    tolerant = STRICT;
}

static void do_leave(uint64_t started)
{
    begin();
    close_all();
    answer(started, 0, 0);
}

static void do_resume(const char *line, uint64_t started, uint64_t deadline)
{
    uint32_t next = 0, window = (uint32_t)argument(line, "window", 32);
    uint64_t expected = 0;
    begin();
    channels = 0; /* nobody waits for the last delivery of a message that was published long ago */
    side_channel = -1;
    resuming = 1;
    for (uint32_t i = 0; i < conn_count; i++)
        expected += sequence[conns[i].channel] - conns[i].expected;
    while ((open_count < conn_count || delivered + lost < expected) && !broken(deadline)) {
        while (opening < window && next < conn_count && !failure[0]) {
            start_connection(next, conns[next].channel, 1, 0);
            next++;
        }
        turn(deadline);
    }
    if (open_count < conn_count)
        fail("deadline passed before all connections were open");
    resuming = 0;
    answer(started, expected, 0);
}

static void do_quit(uint64_t started)
{
    begin();
    close_all();
    printf("{\"ok\": %s, \"seconds\": %.6f}\n", failure[0] ? "false" : "true", (double)(now_ns() - started) / 1e9);
    fflush(stdout);
}

/* Read a token from each line of a file. */
static int read_tokens(const char *path)
{
    FILE *file = fopen(path, "r");
    char text[MAX_TOKEN];
    while (file && fgets(text, sizeof text, file)) {
        text[strcspn(text, "\n")] = 0;
        tokens = realloc(tokens, (size_t)(token_count + 1) * MAX_TOKEN);
        memcpy(tokens + (size_t)token_count++ * MAX_TOKEN, text, sizeof text);
    }
    if (file)
        fclose(file);
    return token_count > 0;
}

int main(int argc, char **argv)
{
    if (argc < 7) {
        fprintf(stderr, "usage: load PORT redis|xadd|script:SHA|protobuf|http|api:KEY PUBPORT "
                        "ws|socketio|sse|centrifugo PATH CHANNEL [tls] [tokens=FILE]\n");
        return 2;
    }
    for (int i = 7; i < argc; i++) {
        if (!strncmp(argv[i], "tokens=", 7)) {
            if (!read_tokens(argv[i] + 7)) {
                perror(argv[i]);
                return 2;
            }
            continue;
        }
#ifdef WITH_TLS
        if (!strcmp(argv[i], "tls")) {
            tls = SSL_CTX_new(TLS_client_method());
            SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION);
            SSL_CTX_set_ciphersuites(tls, "TLS_AES_256_GCM_SHA384"); /* the same with every server */
            SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
            continue;
        }
#endif
        fprintf(stderr, "%s: this is not known, or was not compiled in\n", argv[i]);
        return 2;
    }
    server_port = atoi(argv[1]);
    publish_argument = strchr(argv[2], ':');
    publish_argument = publish_argument ? publish_argument + 1 : "";
    mode = !strcmp(argv[2], "http")       ? HTTP
         : !strcmp(argv[2], "xadd")       ? XADD
         : !strcmp(argv[2], "protobuf")   ? PROTOBUF
         : !strncmp(argv[2], "api:", 4)    ? API
         : !strncmp(argv[2], "script:", 7) ? SCRIPT
                                           : PUBLISH;
    flavour = !strcmp(argv[4], "socketio")   ? SOCKETIO
            : !strcmp(argv[4], "sse")        ? SSE
            : !strcmp(argv[4], "centrifugo") ? CENTRIFUGO
                                             : WS;
    if (flavour == CENTRIFUGO) {
        wrap_head = WRAP_HEAD;
        wrap_tail = WRAP_TAIL;
        wrap = sizeof WRAP_HEAD - 1 + sizeof WRAP_TAIL - 1;
    }
    path_template = argv[5];
    channel_template = argv[6];

    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);

    conns = calloc(MAX_CONNS, sizeof *conns);
    buffer = malloc(BUFFER + 1);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = TAG_TIMER};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer_fd, &event);

    publisher_port = atoi(argv[3]);
    if (!connect_publisher()) {
        perror("connect to the publishing port");
        return 1;
    }

    char line[512];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        uint64_t started = now_ns();
        uint64_t deadline = started + (uint64_t)(argument(line, "timeout", 60) * 1e9);
        if (!strncmp(line, "connect", 7))
            do_connect(line, started, deadline);
        else if (!strncmp(line, "sync", 4))
            do_sync(started, deadline);
        else if (!strncmp(line, "paced", 5))
            do_paced(line, started, deadline);
        else if (!strncmp(line, "burst", 5))
            do_burst(line, started, deadline);
        else if (!strncmp(line, "flat", 4))
            do_flat(line, started, deadline);
        else if (!strncmp(line, "echo", 4))
            do_echo(line, started, deadline, 0);
        else if (!strncmp(line, "offer", 5))
            do_echo(line, started, deadline, 1);
        else if (!strncmp(line, "arrive", 6))
            do_arrive(line, started, deadline);
        else if (!strncmp(line, "idle", 4))
            do_idle(line, started, deadline);
        else if (!strncmp(line, "leave", 5))
            do_leave(started);
        else if (!strncmp(line, "resume", 6))
            do_resume(line, started, deadline);
        else {
            do_quit(started);
            break;
        }
    }
    return failure[0] ? 1 : 0;
}
