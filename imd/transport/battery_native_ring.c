/* Raw system calls: there is no liburing where imd runs. The layout is the kernel's, <linux/io_uring.h> and io_uring(7). */
#define _GNU_SOURCE
#include "battery_native_ring.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef __has_include
#if __has_include(<linux/io_uring.h>)
#include <linux/io_uring.h>
#endif
#endif

#if defined(IORING_SETUP_DEFER_TASKRUN) && defined(__NR_io_uring_setup)

enum {
    ENTRIES = 128, /* sends by one system call; more gain nothing (docs/decisions/0019) */
    UNKNOWN = -1,
};

/* Linux 6.1. One thread submits, and completions are made known only when it asks; SUBMIT_ALL: a bad request does not stop the rest. */
static const unsigned FLAGS = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL;

static void *map(int fd, size_t bytes, off_t what) {
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, what);
    return at == MAP_FAILED ? NULL : at;
}

/* What is alike in all requests. DONTWAIT: a full socket answers EAGAIN at once; without it the kernel would wait for room and send
   later, when the bytes may be gone. */
static void prepare(struct io_uring_sqe *requests, unsigned *order, unsigned count) {
    memset(requests, 0, count * sizeof *requests);
    for (unsigned at = 0; at < count; at++) {
        requests[at].opcode = IORING_OP_SEND;
        requests[at].msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL;
        order[at] = at;
    }
}

static long enter(const struct ring *ring, unsigned submitted, unsigned completed) {
    return syscall(__NR_io_uring_enter, ring->fd, submitted, completed, IORING_ENTER_GETEVENTS, NULL, 0);
}

static bool open_ring(struct ring *ring) {
    struct io_uring_params params = {.flags = FLAGS};
    ring->fd = syscall(__NR_io_uring_setup, ENTRIES, &params);
    if (ring->fd < 0)
        return false;
    if (!(params.features & IORING_FEAT_SINGLE_MMAP)) {
        errno = ENOSYS;
        return false;
    }
    size_t submit = params.sq_off.array + params.sq_entries * sizeof(unsigned);
    size_t complete = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
    ring->rings_bytes = submit > complete ? submit : complete;
    ring->rings = map(ring->fd, ring->rings_bytes, IORING_OFF_SQ_RING);
    ring->requests = map(ring->fd, ENTRIES * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
    if (!ring->rings || !ring->requests)
        return false;
    char *base = ring->rings;
    ring->submit_tail = (unsigned *)(base + params.sq_off.tail);
    ring->submit_mask = params.sq_entries - 1;
    ring->complete_head = (unsigned *)(base + params.cq_off.head);
    ring->complete_tail = (unsigned *)(base + params.cq_off.tail);
    ring->complete_mask = params.cq_entries - 1;
    ring->completions = base + params.cq_off.cqes;
    prepare(ring->requests, (unsigned *)(base + params.sq_off.array), params.sq_entries);
    return enter(ring, 0, 0) == 0; /* some profiles allow the one call and not the other */
}

bool ring_ready(struct ring *ring) {
    pid_t thread = syscall(SYS_gettid); /* of a forked child too it is another */
    if (ring->fd < 0 && !ring->error) {
        ring->owner = thread;
        if (!open_ring(ring)) {
            int error = errno;
            ring_close(ring);
            ring->error = error;
        }
    }
    return ring->fd >= 0 && ring->owner == thread;
}

static unsigned completed(const struct ring *ring) {
    return __atomic_load_n(ring->complete_tail, __ATOMIC_ACQUIRE) - *ring->complete_head;
}

/* Hands over the first ``count`` requests behind the tail, and waits for their completions. Answers how many the kernel had of them. */
static unsigned submit(struct ring *ring, unsigned count) {
    unsigned submitted = 0;
    while (submitted < count || completed(ring) < count) {
        long had = enter(ring, count - submitted, count);
        if (had > 0)
            submitted += had;
        else if (had < 0 ? errno != EINTR : submitted < count) {
            ring->error = had < 0 ? errno : EIO;
            ring->fd = -1; /* not closed: whose number it is by now is not known */
            break;
        }
    }
    return submitted;
}

static unsigned reap(struct ring *ring, int *taken) {
    const struct io_uring_cqe *completions = ring->completions;
    unsigned head = *ring->complete_head, ready = completed(ring);
    for (unsigned end = head + ready; head != end; head++) {
        const struct io_uring_cqe *each = &completions[head & ring->complete_mask];
        taken[each->user_data] = each->res > 0 ? each->res : 0;
    }
    __atomic_store_n(ring->complete_head, head, __ATOMIC_RELEASE);
    return ready;
}

/* At most ENTRIES. */
static size_t send_some(struct ring *ring, const int *fds, unsigned count, const void *data, size_t size, int *taken) {
    struct io_uring_sqe *requests = ring->requests;
    unsigned tail = *ring->submit_tail;
    for (unsigned at = 0; at < count; at++) {
        struct io_uring_sqe *request = &requests[(tail + at) & ring->submit_mask];
        request->fd = fds[at];
        request->addr = (uintptr_t)data;
        request->len = size;
        request->user_data = at;
        taken[at] = UNKNOWN;
    }
    __atomic_store_n(ring->submit_tail, tail + count, __ATOMIC_RELEASE);
    unsigned submitted = submit(ring, count);
    if (reap(ring, taken) < submitted) {
        /* The ring broke with requests inside. What went out is not known: better no connection than bytes twice. */
        for (unsigned at = 0; at < submitted; at++) {
            if (taken[at] == UNKNOWN) {
                shutdown(fds[at], SHUT_RDWR);
                taken[at] = 0;
            }
        }
    }
    return submitted;
}

size_t ring_send(struct ring *ring, const int *fds, size_t count, const void *data, size_t size, int *taken) {
    size_t done = 0;
    while (done < count && ring->fd >= 0) {
        unsigned next = count - done < ENTRIES ? count - done : ENTRIES;
        done += send_some(ring, fds + done, next, data, size, taken + done);
    }
    return done;
}

void ring_close(struct ring *ring) {
    if (ring->requests)
        munmap(ring->requests, ENTRIES * sizeof(struct io_uring_sqe));
    if (ring->rings)
        munmap(ring->rings, ring->rings_bytes);
    if (ring->fd >= 0)
        close(ring->fd);
    *ring = RING_UNOPENED;
}

#else

bool ring_ready(struct ring *ring) {
    ring->error = ENOSYS;
    return false;
}

size_t ring_send(struct ring *ring, const int *fds, size_t count, const void *data, size_t size, int *taken) {
    (void)ring, (void)fds, (void)count, (void)data, (void)size, (void)taken;
    return 0;
}

void ring_close(struct ring *ring) {
    (void)ring;
}

#endif
