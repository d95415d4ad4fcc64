/* A histogram of times: 64 buckets for each power of two, so that a percentile is right to 1.6 %. */
#ifndef IMD_LATENCY_H
#define IMD_LATENCY_H

#include <stdint.h>
#include <string.h>

enum { SUB_BITS = 6, SUBS = 1 << SUB_BITS, BUCKETS = (64 - SUB_BITS + 1) * SUBS };

struct latency {
    uint64_t count, max;
    uint64_t buckets[BUCKETS];
};

static inline unsigned bucket_of(uint64_t value) {
    if (value < SUBS)
        return (unsigned)value;
    unsigned shift = 63 - __builtin_clzll(value) - SUB_BITS;
    return (shift + 1) * SUBS + (unsigned)((value >> shift) - SUBS);
}

/* The largest value of a bucket. */
static inline uint64_t top_of(unsigned bucket) {
    if (bucket < SUBS)
        return bucket;
    unsigned shift = bucket / SUBS - 1;
    return ((uint64_t)(bucket % SUBS + SUBS) << shift) + ((uint64_t)1 << shift) - 1;
}

static inline void latency_add(struct latency *all, uint64_t value) {
    all->count++;
    if (value > all->max)
        all->max = value;
    all->buckets[bucket_of(value)]++;
}

/* What ``share`` of all values are not above; 0 without any. */
static inline uint64_t latency_percentile(const struct latency *all, double share) {
    double wanted = share * (double)all->count;
    uint64_t seen = 0;
    if (!all->count)
        return 0;
    for (unsigned bucket = 0; bucket < BUCKETS; bucket++) {
        seen += all->buckets[bucket];
        if (seen && (double)seen >= wanted) {
            uint64_t top = top_of(bucket);
            return top < all->max ? top : all->max;
        }
    }
    return all->max;
}

static inline void latency_clear(struct latency *all) { memset(all, 0, sizeof *all); }

#endif
