/* The limit: a bare loop of send() over all connections, for nobody can write the same bytes to them for less.

   send_loop [--connections N] [--transport tcp|websocket] [--core C]

   It knows nothing of the wire but what its clients want to hear: the first thing that each of them says is answered by the
   upgrade (WebSocket), the next by op 8. On stdout it says by lines of JSON where it listens, that all are in, and, for each line
   on stdin,

   send RATE SECONDS MERGED BODY    RATE messages a second, or as fast as it can (0), MERGED of them at a time, bodies of BODY bytes
   quit

   how many messages there were, in what time, and how often a socket was full so that the loop waited for its client. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "packets.h"
#include "process.h"

enum { OPERATION = 1000, EVENTS = 256, MAX_WIRE_BYTES = 1 << 17 };

static int count, accepted, in, framed, epoll, listener;
static int *sockets, *answers; /* by order of accept; how many answers each was given */
static uint8_t wire[MAX_WIRE_BYTES];

static void answer(int at) {
    const char upgraded[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    uint8_t heard[4096], reply[32];
    if (recv(sockets[at], heard, sizeof heard, 0) <= 0)
        fail("client %d left", at);
    if (framed && answers[at]++ == 0) {
        send(sockets[at], upgraded, sizeof upgraded - 1, MSG_NOSIGNAL);
        return;
    }
    size_t used = framed ? put_frame(reply, HEADER_BYTES, 0) : 0;
    used += put_header(reply + used, OP_AUTH_REPLY, 0, 1);
    send(sockets[at], reply, used, MSG_NOSIGNAL);
    epoll_ctl(epoll, EPOLL_CTL_DEL, sockets[at], NULL);
    in++;
}

static void take_one(void) {
    int yes = 1, fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        fail("accept: %s", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    struct epoll_event wanted = {.events = EPOLLIN, .data.u32 = accepted};
    sockets[accepted++] = fd;
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &wanted);
}

static void take_all(void) {
    struct epoll_event events[EVENTS], wanted = {.events = EPOLLIN, .data.u32 = UINT32_MAX};
    epoll = epoll_create1(EPOLL_CLOEXEC);
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &wanted);
    while (in < count) {
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        for (int at = 0; at < ready; at++) {
            if (events[at].data.u32 != UINT32_MAX)
                answer(events[at].data.u32);
            else if (accepted < count)
                take_one();
        }
    }
}

/* The bytes of a write: ``merged`` packets, on WebSocket in one envelope. Answers their size. */
static size_t make_wire(int merged, int body) {
    size_t packet = HEADER_BYTES + body, all = packet * merged, used = 0;
    int64_t now = now_ns();
    if (framed) {
        used = put_frame(wire, HEADER_BYTES + all, 0);
        used += put_header(wire + used, OP_RAW, all, 0);
    }
    for (int each = 0; each < merged; each++) {
        used += put_header(wire + used, OPERATION, body, 0);
        memset(wire + used, 'x', body);
        if (body >= 8)
            put64(wire + used, now);
        used += body;
    }
    return used;
}

/* Answers how often it had to wait. */
static long write_all(size_t size) {
    long waited = 0;
    for (int at = 0; at < count; at++) {
        size_t done = 0;
        while (done < size) {
            ssize_t took = send(sockets[at], wire + done, size - done, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (took >= 0) {
                done += took;
            } else if (errno == EAGAIN) {
                struct pollfd full = {.fd = sockets[at], .events = POLLOUT};
                waited++;
                poll(&full, 1, -1);
            } else {
                fail("client %d: %s", at, strerror(errno));
            }
        }
    }
    return waited;
}

static void sleep_until(int64_t ns) {
    struct timespec until = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        ;
}

static void send_for(double rate, double seconds, int merged, int body) {
    int64_t began = now_ns(), ends = began + (int64_t)(seconds * 1e9);
    long messages = 0, waited = 0;
    if (merged < 1 || body < 0 || (size_t)merged * (HEADER_BYTES + body) + 64 > MAX_WIRE_BYTES)
        fail("%d bodies of %d bytes are no wire", merged, body);
    while (now_ns() < ends) {
        if (rate > 0) {
            int64_t due = began + (int64_t)(1e9 * messages / rate);
            if (due >= ends)
                break;
            sleep_until(due);
        }
        waited += write_all(make_wire(merged, body));
        messages += merged;
    }
    printf("{\"event\":\"sent\",\"messages\":%ld,\"seconds\":%.6f,\"waited\":%ld}\n", messages, (now_ns() - began) / 1e9, waited);
}

int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    char line[256];

    count = number(argc, argv, "connections", 1000);
    framed = !strcmp(option(argc, argv, "transport", "tcp"), "websocket");
    stay_on(number(argc, argv, "core", -1));
    need_files(count);
    setvbuf(stdout, NULL, _IOLBF, 0);
    sockets = calloc(count, sizeof *sockets);
    answers = calloc(count, sizeof *answers);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (!sockets || !answers || bind(listener, (void *)&address, size) || listen(listener, 4096) ||
        getsockname(listener, (void *)&address, &size))
        fail("cannot listen: %s", strerror(errno));
    printf("{\"event\":\"listening\",\"port\":%d}\n", ntohs(address.sin_port));
    take_all();
    printf("{\"event\":\"in\",\"connections\":%d}\n", in);
    while (fgets(line, sizeof line, stdin)) {
        double rate, seconds;
        int merged, body;
        if (sscanf(line, "send %lf %lf %d %d", &rate, &seconds, &merged, &body) == 4)
            send_for(rate, seconds, merged, body);
        else
            break;
    }
    return 0;
}
