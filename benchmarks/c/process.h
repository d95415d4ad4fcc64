/* What both programs need of their process: a core of its own, files enough, a clock, and numbers out of words. */
#ifndef IMD_PROCESS_H
#define IMD_PROCESS_H

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...) {
    va_list rest;
    va_start(rest, format);
    vfprintf(stderr, format, rest);
    va_end(rest);
    fputc('\n', stderr);
    exit(1);
}

static inline int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline void stay_on(int core) {
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET(core, &cores);
    if (core >= 0 && sched_setaffinity(0, sizeof cores, &cores))
        fail("core %d: %s", core, strerror(errno));
}

static inline void need_files(int count) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < (rlim_t)count + 32)
        fail("%d connections need more open files than the hard limit of %ld", count, (long)limit.rlim_max);
}

/* --name VALUE among the words, or ``otherwise``. */
static inline const char *option(int count, char **words, const char *name, const char *otherwise) {
    for (int at = 1; at + 1 < count; at++)
        if (!strncmp(words[at], "--", 2) && !strcmp(words[at] + 2, name))
            return words[at + 1];
    return otherwise;
}

static inline int number(int count, char **words, const char *name, int otherwise) {
    const char *word = option(count, words, name, NULL);
    return word ? atoi(word) : otherwise;
}

#endif
