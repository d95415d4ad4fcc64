/* The clients: many connections that authenticate as goim's do, join one room, and count what they are sent.

   load_client --port P [--connections N] [--transport tcp|websocket] [--room ID] [--mid M] [--sources S] [--core C]
               [--handshakes H] [--keys PREFIX] [--heartbeat SECONDS] [--redials R]

   They are nobody, or the members M, M + 1 and so on. It connects from S addresses of 127/8, at most H handshakes at a time, and
   then says so on stdout, as it answers each line on stdin, by one line of JSON:

   begin    count from zero
   look     what was counted since
   stall N  each Nth client, from the first on, reads no more, and is not looked at; 0 = all read again
   times    from send to receipt, since: [microseconds, packets] for each that occurred, so that several programs' can be added up
   quit     hang up

   Only pushes count: packets of operation 1000 and up. The first 8 bytes of their bodies are the nanoseconds of CLOCK_MONOTONIC
   when they were sent; bodies that are shorter have no latency. They take operation 1000 from whoever pushes to all. Without
   --heartbeat they send none: a server must be patient for as long as the run takes. Their keys are PREFIX-0, PREFIX-1 and so
   on: each program's must be its own. Who is turned away before it is let in ends the program, or dials again, as clients do: R
   times in all. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "latency.h"
#include "packets.h"
#include "process.h"

enum { READ_BYTES = 1 << 16, FIRST_PUSH = 1000, EVENTS = 1024 };

/* A client that keeps up would sleep after each packet and be woken by the next one, at the sender's cost: a microsecond that no
   client on another machine asks for. So it looks a few thousand times a second, and finds many at once. That is the error of a latency. */
enum { LOOK_NS = 150 * 1000, FEW_EVENTS = 256, BEAT_MS = 100 };

enum stage { UPGRADING, AUTHENTICATING, IN, GONE };

struct connection {
    int fd;
    enum stage stage;
    uint32_t packets; /* pushes since "begin" */
    uint32_t held;    /* bytes of an unfinished packet or frame */
    uint8_t *rest;    /* those bytes; NULL = none */
};

static struct connection *connections;
static int count, begun, in, gone, framed, epoll, first_mid, stall_each;
static int port, sources, redials, redials_left;
static const char *room, *keys;
static uint64_t packets, bytes, reads;
static int64_t received_at; /* when the bytes in hand were read */
static struct latency times;
static uint8_t buffer[MAX_UNIT_BYTES + READ_BYTES];

static void put(struct connection *one, const void *data, size_t size) {
    if (send(one->fd, data, size, MSG_NOSIGNAL) != (ssize_t)size)
        fail("a handshake could not be written: %s", strerror(errno));
}

static void authenticate(struct connection *one) {
    uint8_t packet[512];
    char body[400];
    int number = (int)(one - connections), mid = first_mid ? first_mid + number : 0;
    int size = snprintf(body, sizeof body,
                        "{\"mid\":%d,\"key\":\"%s-%d\",\"room_id\":\"%s\",\"platform\":\"load\",\"accepts\":[%d]}", mid, keys,
                        number, room, FIRST_PUSH);
    size_t used = framed ? put_frame(packet, HEADER_BYTES + size, 1) : 0;
    used += put_header(packet + used, OP_AUTH, size, 1);
    memcpy(packet + used, body, size);
    one->stage = AUTHENTICATING;
    put(one, packet, used + size);
}

static void open_one(struct connection *one) {
    const char upgrade[] = "GET /sub HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                           "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    int number = (int)(one - connections), yes = 1;
    uint32_t source = INADDR_LOOPBACK + (1 << 16) + number % sources; /* from 127.1.0.1 up */
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(source)};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    /* Edges: told of once, a socket is not looked at again until more comes. */
    struct epoll_event wanted = {.events = EPOLLIN | EPOLLET, .data.ptr = one};

    one->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (one->fd < 0)
        fail("socket: %s", strerror(errno));
    setsockopt(one->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
    setsockopt(one->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (bind(one->fd, (void *)&from, sizeof from) || connect(one->fd, (void *)&to, sizeof to))
        fail("connection %d: %s", number, strerror(errno));
    one->stage = UPGRADING;
    if (framed)
        put(one, upgrade, sizeof upgrade - 1);
    else
        authenticate(one);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, one->fd, &wanted))
        fail("epoll: %s", strerror(errno));
}

/* Op 2 of each connection every ``seconds``, spread evenly. ``began``: when they began to. */
static void beat(int64_t began, int seconds) {
    static int64_t beats;
    int64_t due = (int64_t)((double)(now_ns() - began) / 1e9 / seconds * count);
    uint8_t packet[2 * HEADER_BYTES];
    size_t used = framed ? put_frame(packet, HEADER_BYTES, 1) : 0;
    used += put_header(packet + used, OP_HEARTBEAT, 0, 0);
    for (; beats < due; beats++) {
        struct connection *one = &connections[beats % count];
        if (one->stage == IN)
            send(one->fd, packet, used, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
}

static void close_one(struct connection *one) {
    close(one->fd);
    if (one->stage < IN) {
        if (!redials_left--)
            fail("connection %d was closed before it was let in", (int)(one - connections));
        redials++;
        one->held = 0;
        open_one(one);
        return;
    }
    one->stage = GONE;
    gone++;
}

static void packet_received(void *context, int32_t operation, const uint8_t *body, size_t size) {
    struct connection *one = context;
    if (operation >= FIRST_PUSH) {
        packets++;
        one->packets++;
        if (size >= 8) {
            int64_t took = received_at - (int64_t)be64(body);
            latency_add(&times, took > 0 ? (uint64_t)took : 0);
        }
    } else if (operation == OP_AUTH_REPLY && one->stage == AUTHENTICATING) {
        one->stage = IN;
        in++;
    }
}

/* Of what is in hand, the bytes that are done with. */
static size_t consume(struct connection *one, size_t size) {
    size_t start = 0;
    if (one->stage == UPGRADING) {
        uint8_t *end = memmem(buffer, size, "\r\n\r\n", 4);
        if (!end)
            return 0;
        if (memcmp(buffer, "HTTP/1.1 101", 12))
            fail("no upgrade: %.*s", (int)size, (char *)buffer);
        start = (size_t)(end - buffer) + 4;
        authenticate(one);
    }
    long used = (framed ? walk_frames : walk_packets)(buffer + start, size - start, packet_received, one);
    if (used < 0)
        fail("connection %d: what came is no packet", (int)(one - connections));
    return start + (size_t)used;
}

/* Read once; answers whether there may be more. */
static int read_some(struct connection *one) {
    size_t held = one->held;
    if (held)
        memcpy(buffer, one->rest, held);
    ssize_t got = recv(one->fd, buffer + held, READ_BYTES, MSG_DONTWAIT);
    if (got <= 0) {
        if (got == 0 || (errno != EAGAIN && errno != EINTR))
            close_one(one);
        return got < 0 && errno == EINTR;
    }
    received_at = now_ns();
    reads++;
    bytes += got;
    size_t size = held + (size_t)got, used = consume(one, size);
    one->held = size - used;
    if (one->held > MAX_UNIT_BYTES)
        fail("connection %d: a packet of more than %d bytes", (int)(one - connections), MAX_UNIT_BYTES);
    if (one->held) {
        one->rest = realloc(one->rest, one->held);
        memcpy(one->rest, buffer + used, one->held);
    } else if (one->rest) {
        free(one->rest);
        one->rest = NULL;
    }
    return got == READ_BYTES;
}

static int stalled(const struct connection *one) { return stall_each && (one - connections) % stall_each == 0; }

/* Who does not read should not have the kernel read for him either: it keeps what it must. */
static void stall(int each) {
    int little = 4096, found = 0;
    stall_each = each;
    for (int at = 0; at < count; at++) {
        struct connection *one = &connections[at];
        if (one->stage == GONE)
            continue;
        if (stalled(one))
            found++, setsockopt(one->fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
        else
            while (read_some(one))
                ;
    }
    printf("{\"event\":\"stalled\",\"connections\":%d}\n", found);
}

static void begin(void) {
    packets = bytes = reads = 0;
    latency_clear(&times);
    for (int at = 0; at < count; at++)
        connections[at].packets = 0;
    printf("{\"event\":\"begun\"}\n");
}

static void look(void) {
    uint32_t fewest = UINT32_MAX, most = 0;
    for (int at = 0; at < count; at++) {
        uint32_t has = connections[at].packets;
        if (stalled(&connections[at]))
            continue;
        fewest = has < fewest ? has : fewest;
        most = has > most ? has : most;
    }
    printf("{\"event\":\"look\",\"packets\":%lu,\"bytes\":%lu,\"reads\":%lu,\"fewest\":%u,\"most\":%u,\"gone\":%d,"
           "\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f}\n",
           packets, bytes, reads, fewest, most, gone, latency_percentile(&times, 0.5) / 1e3,
           latency_percentile(&times, 0.99) / 1e3, latency_percentile(&times, 0.999) / 1e3, times.max / 1e3);
}

static void tell_times(void) {
    const char *comma = "";
    printf("{\"event\":\"times\",\"times\":[");
    for (unsigned bucket = 0; bucket < BUCKETS; bucket++) {
        if (times.buckets[bucket]) {
            uint64_t top = top_of(bucket) < times.max ? top_of(bucket) : times.max;
            printf("%s[%.1f,%lu]", comma, top / 1e3, times.buckets[bucket]);
            comma = ",";
        }
    }
    printf("]}\n");
}

static void command_received(void) {
    char line[256];
    ssize_t size = read(STDIN_FILENO, line, sizeof line);
    if (size <= 0 || !strncmp(line, "quit", 4))
        exit(0);
    if (!strncmp(line, "begin", 5))
        begin();
    else if (!strncmp(line, "look", 4))
        look();
    else if (!strncmp(line, "stall ", 6))
        stall(atoi(line + 6));
    else if (!strncmp(line, "times", 5))
        tell_times();
    else
        fail("no such command: %.*s", (int)size, line);
}

int main(int argc, char **argv) {
    int handshakes = number(argc, argv, "handshakes", 128), heartbeat = number(argc, argv, "heartbeat", 0);
    struct epoll_event events[EVENTS], commands = {.events = EPOLLIN, .data.ptr = NULL};
    int64_t began = now_ns(), in_at = 0;

    count = number(argc, argv, "connections", 1000);
    port = number(argc, argv, "port", 0);
    sources = number(argc, argv, "sources", 250);
    redials_left = number(argc, argv, "redials", 0);
    framed = !strcmp(option(argc, argv, "transport", "tcp"), "websocket");
    room = option(argc, argv, "room", "live://bench");
    first_mid = number(argc, argv, "mid", 0);
    keys = option(argc, argv, "keys", "load");
    if (!port || count < 1 || sources < 1 || handshakes < 1 || heartbeat < 0 || strlen(room) > 255 || strlen(keys) > 31)
        fail("load_client --port P [--connections N] ...: see its source");
    stay_on(number(argc, argv, "core", -1));
    prctl(PR_SET_TIMERSLACK, 1);
    need_files(count);
    setvbuf(stdout, NULL, _IOLBF, 0);
    connections = calloc(count, sizeof *connections);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!connections || epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &commands))
        fail("cannot begin: %s", strerror(errno));
    for (;;) {
        while (begun < count && begun - in < handshakes)
            open_one(&connections[begun++]);
        if (in == count && !in_at) {
            in_at = now_ns();
            printf("{\"event\":\"in\",\"connections\":%d,\"redials\":%d,\"seconds\":%.3f}\n", in, redials, (in_at - began) / 1e9);
        }
        if (in_at && heartbeat)
            beat(in_at, heartbeat);
        int ready = epoll_wait(epoll, events, EVENTS, heartbeat ? BEAT_MS : -1);
        for (int at = 0; at < ready; at++)
            if (events[at].data.ptr)
                while (!stalled(events[at].data.ptr) && read_some(events[at].data.ptr))
                    ;
            else
                command_received();
        if (in == count && ready < FEW_EVENTS)
            nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
    }
}
