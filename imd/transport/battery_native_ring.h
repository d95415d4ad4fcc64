/* One io_uring through which a thread sends the same bytes to many sockets. Where the kernel has none, or forbids it, it says so. */
#ifndef IMD_BATTERY_NATIVE_RING_H
#define IMD_BATTERY_NATIVE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct ring {
    int fd;      /* -1 until it is opened, and once it has failed */
    int error;   /* errno of what it failed with; 0 = none so far */
    pid_t owner; /* the thread that opened it, the only one that may use it */
    void *rings, *requests; /* shared with the kernel; NULL = not there */
    size_t rings_bytes;
    unsigned *submit_tail, submit_mask;
    unsigned *complete_head, *complete_tail, complete_mask;
    void *completions;
};

/* Made by this. Nothing of the kernel's yet: the process may still fork. */
#define RING_UNOPENED ((struct ring){.fd = -1})

/* Whether this thread can send through it. The first thread that asks opens it, and owns it. One thread at a time may ask. */
bool ring_ready(struct ring *ring);

/* Sends, without waiting for any peer. ``taken[i]`` is how many bytes the kernel took for ``fds[i]``. Answers for how many sockets,
   from the first on, this was done: fewer than ``count`` when the ring failed. Nothing is under way when it returns.
   ``size`` is below 2 GiB; the caller's thread is the one that found it ready. */
size_t ring_send(struct ring *ring, const int *fds, size_t count, const void *data, size_t size, int *taken);

/* Gives back what it has. */
void ring_close(struct ring *ring);

#endif
