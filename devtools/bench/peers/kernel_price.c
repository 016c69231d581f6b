/*
 * The kernel's price: the least a server can do that gives each message to each connection by a send() of its own.
 *
 *   kernel_price PORT REDIS_PORT PING_SECONDS
 *
 * One epoll descriptor, a connection to Redis with PSUBSCRIBE wsrelay:*, one frame built per message and one send() of
 * it per connection.  What a socket does not take is kept and sent later, so nothing is lost.  No limits, no options,
 * no HTTP beside the handshake: what any useful server adds to this figure is its own.  Written for Linux.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_FDS 20000
#define SLOTS 32768 /* of the channel table, a power of two */

struct conn {
    int fd, position; /* position: among the members of its channel, -1 before the handshake */
    struct channel *channel;
    char *kept; /* bytes the socket has not taken */
    size_t kept_length;
};

struct channel {
    char name[64];
    struct conn **members;
    int count, capacity;
};

static struct conn *conns[MAX_FDS];
static struct channel *table[SLOTS];
static int epoll_fd, listen_fd, redis_fd;

/* --- SHA-1 and base64, for the handshake ------------------------------------------------------------------------- */

static uint32_t rol(uint32_t x, int n) { return x << n | x >> (32 - n); }

static void sha1(const uint8_t *data, size_t length, uint8_t *digest)
{
    uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    uint8_t padded[256] = {0};
    size_t total = (length + 8) / 64 * 64 + 64;
    memcpy(padded, data, length);
    padded[length] = 0x80;
    for (int i = 0; i < 8; i++)
        padded[total - 1 - i] = (uint8_t)((uint64_t)length * 8 >> 8 * i);
    for (size_t block = 0; block < total; block += 64) {
        uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
        for (int i = 0; i < 16; i++)
            w[i] = (uint32_t)padded[block + 4 * i] << 24 | (uint32_t)padded[block + 4 * i + 1] << 16
                 | (uint32_t)padded[block + 4 * i + 2] << 8 | padded[block + 4 * i + 3];
        for (int i = 16; i < 80; i++)
            w[i] = rol(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
        for (int i = 0; i < 80; i++) {
            uint32_t f, k;
            if (i < 20) f = (b & c) | (~b & d), k = 0x5A827999;
            else if (i < 40) f = b ^ c ^ d, k = 0x6ED9EBA1;
            else if (i < 60) f = (b & c) | (b & d) | (c & d), k = 0x8F1BBCDC;
            else f = b ^ c ^ d, k = 0xCA62C1D6;
            uint32_t t = rol(a, 5) + f + e + k + w[i];
            e = d, d = c, c = rol(b, 30), b = a, a = t;
        }
        h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
    }
    for (int i = 0; i < 20; i++)
        digest[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
}

static void base64(const uint8_t *data, size_t length, char *to)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < length; i += 3) {
        uint32_t bits = (uint32_t)data[i] << 16 | (uint32_t)(i + 1 < length ? data[i + 1] : 0) << 8
                      | (i + 2 < length ? data[i + 2] : 0);
        *to++ = alphabet[bits >> 18];
        *to++ = alphabet[bits >> 12 & 63];
        *to++ = i + 1 < length ? alphabet[bits >> 6 & 63] : '=';
        *to++ = i + 2 < length ? alphabet[bits & 63] : '=';
    }
    *to = 0;
}

/* --- channels and connections ------------------------------------------------------------------------------------ */

static struct channel *find_channel(const char *name, size_t length, int create)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (uint8_t)name[i]) * 16777619u;
    for (uint32_t slot = hash & (SLOTS - 1);; slot = (slot + 1) & (SLOTS - 1)) {
        if (!table[slot]) {
            if (!create || length >= sizeof table[slot]->name)
                return NULL;
            table[slot] = calloc(1, sizeof **table);
            memcpy(table[slot]->name, name, length);
        }
        if (!strncmp(table[slot]->name, name, length) && !table[slot]->name[length])
            return table[slot];
    }
}

static void drop(struct conn *c)
{
    if (c->channel) {
        struct conn *last = c->channel->members[--c->channel->count];
        c->channel->members[c->position] = last;
        last->position = c->position;
    }
    conns[c->fd] = NULL;
    close(c->fd);
    free(c->kept);
    free(c);
}

static void keep(struct conn *c, const char *data, size_t length)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.fd = c->fd};
    if (!c->kept_length)
        epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
    c->kept = realloc(c->kept, c->kept_length + length);
    memcpy(c->kept + c->kept_length, data, length);
    c->kept_length += length;
}

static void give(struct conn *c, const char *data, size_t length)
{
    if (!c->kept_length) {
        ssize_t n = send(c->fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            return; /* epoll reports the broken connection */
        if (n > 0)
            data += n, length -= (size_t)n;
    }
    if (length)
        keep(c, data, length);
}

static void resume(struct conn *c)
{
    ssize_t n = send(c->fd, c->kept, c->kept_length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) {
        c->kept_length -= (size_t)n;
        memmove(c->kept, c->kept + n, c->kept_length);
    }
    if (!c->kept_length) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = c->fd};
        epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
        free(c->kept);
        c->kept = NULL;
    }
}

static void publication(const char *name, size_t name_length, const char *payload, size_t length)
{
    static char *frame;
    static size_t capacity;
    struct channel *channel = find_channel(name, name_length, 0);
    if (!channel)
        return;
    if (capacity < length + 10)
        frame = realloc(frame, capacity = length + 10);
    size_t header = 2;
    frame[0] = (char)0x81;
    if (length < 126)
        frame[1] = (char)length;
    else if (length < 65536) {
        frame[1] = 126;
        frame[2] = (char)(length >> 8);
        frame[3] = (char)length;
        header = 4;
    } else {
        frame[1] = 127;
        for (int i = 0; i < 8; i++)
            frame[2 + i] = (char)((uint64_t)length >> (56 - 8 * i));
        header = 10;
    }
    memcpy(frame + header, payload, length);
    for (int i = 0; i < channel->count; i++)
        give(channel->members[i], frame, header + length);
}

/* --- what comes in ----------------------------------------------------------------------------------------------- */

/* RESP: an array of bulk strings at p.  Fills in pointers, returns its length or 0 if it is not whole yet. */
static size_t parse(char *p, size_t n, char **item, size_t *length, int *items)
{
    char *end = p + n, *at = p, *line = memchr(at, '\n', n);
    if (!line)
        return 0;
    if (*at != '*') {
        *items = 0;
        return (size_t)(line + 1 - p);
    }
    *items = atoi(at + 1);
    at = line + 1;
    for (int i = 0; i < *items; i++) {
        if (!(line = memchr(at, '\n', (size_t)(end - at))))
            return 0;
        if (*at == '$') {
            length[i] = (size_t)atol(at + 1);
            item[i] = line + 1;
            if ((size_t)(end - item[i]) < length[i] + 2)
                return 0;
            at = item[i] + length[i] + 2;
        } else { /* an integer, in the answer to PSUBSCRIBE */
            item[i] = at;
            length[i] = 0;
            at = line + 1;
        }
    }
    return (size_t)(at - p);
}

static void from_redis(void)
{
    static char *data;
    static size_t have, capacity;
    if (capacity - have < 65536)
        data = realloc(data, capacity = capacity * 2 + 131072);
    ssize_t n = recv(redis_fd, data + have, capacity - have - 1, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        fprintf(stderr, "Redis closed the connection\n");
        exit(1);
    }
    if (n < 0)
        return;
    have += (size_t)n;
    size_t used = 0, length[8], whole;
    char *item[8];
    int items;
    while (used < have && (whole = parse(data + used, have - used, item, length, &items))) {
        if (items == 4 && length[0] == 8 && length[2] > 8)
            publication(item[2] + 8, length[2] - 8, item[3], length[3]);
        used += whole;
    }
    memmove(data, data + used, have -= used);
}

static void handshake(struct conn *c, char *request)
{
    char *key = strcasestr(request, "Sec-WebSocket-Key:"), text[128], accept[64], reply[256];
    uint8_t digest[20];
    if (strncmp(request, "GET /ws/", 8) || !key) {
        static const char refusal[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        give(c, refusal, sizeof refusal - 1);
        shutdown(c->fd, SHUT_WR);
        return;
    }
    key += 18;
    key += strspn(key, " ");
    snprintf(text, sizeof text, "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", (int)strcspn(key, " \r"), key);
    sha1((uint8_t *)text, strlen(text), digest);
    base64(digest, 20, accept);
    int length = snprintf(reply, sizeof reply,
                          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Accept: %s\r\n\r\n", accept);
    give(c, reply, (size_t)length);
    struct channel *channel = find_channel(request + 8, strcspn(request + 8, " ?"), 1);
    if (!channel)
        return;
    if (channel->count == channel->capacity) {
        channel->capacity = channel->capacity ? channel->capacity * 2 : 1;
        channel->members = realloc(channel->members, sizeof *channel->members * (size_t)channel->capacity);
    }
    c->channel = channel;
    c->position = channel->count;
    channel->members[channel->count++] = c;
}

static void from_client(struct conn *c)
{
    static char data[65536];
    ssize_t n = recv(c->fd, data, sizeof data - 1, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        drop(c);
        return;
    }
    if (n < 0)
        return;
    data[n] = 0;
    /* A request is taken to come in one piece, which it does from this bench; later frames (pongs) are read over. */
    if (!c->channel && strstr(data, "\r\n\r\n"))
        handshake(c, data);
}

static void take_connections(void)
{
    int fd, on = 1;
    while ((fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (fd >= MAX_FDS) {
            close(fd);
            continue;
        }
        struct conn *c = conns[fd] = calloc(1, sizeof *c);
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        c->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

static int tcp_socket(int port, int listening)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (listening ? SOCK_NONBLOCK : 0), 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (listening ? bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4096)
                  : connect(fd, (struct sockaddr *)&address, sizeof address)) {
        perror(listening ? "listen" : "connect to Redis");
        exit(1);
    }
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
    return fd;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: kernel_price PORT REDIS_PORT PING_SECONDS\n");
        return 2;
    }
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);

    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    redis_fd = tcp_socket(atoi(argv[2]), 0);
    static const char subscribe[] = "*2\r\n$10\r\nPSUBSCRIBE\r\n$9\r\nwsrelay:*\r\n";
    if (send(redis_fd, subscribe, sizeof subscribe - 1, 0) < 0)
        return 1;
    listen_fd = tcp_socket(atoi(argv[1]), 1);
    int wait = atoi(argv[3]) ? atoi(argv[3]) * 1000 : -1;
    struct timespec last, now;
    clock_gettime(CLOCK_MONOTONIC, &last);
    for (;;) {
        struct epoll_event events[512];
        int n = epoll_wait(epoll_fd, events, 512, wait < 0 ? -1 : 100);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listen_fd)
                take_connections();
            else if (fd == redis_fd)
                from_redis();
            else if (conns[fd]) {
                if (events[i].events & EPOLLOUT)
                    resume(conns[fd]);
                if (events[i].events & ~(uint32_t)EPOLLOUT)
                    from_client(conns[fd]);
            }
        }
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (wait > 0 && (now.tv_sec - last.tv_sec) * 1000 + (now.tv_nsec - last.tv_nsec) / 1000000 >= wait) {
            last = now;
            for (int fd = 0; fd < MAX_FDS; fd++)
                if (conns[fd] && conns[fd]->channel)
                    give(conns[fd], "\x89", 2);
        }
    }
}
