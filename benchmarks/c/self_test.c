/* What the other programs count by, alone, for tests/benchmarks: bytes on stdin, words on stdout.

   self_test tcp | websocket    a line "operation body-in-hex" for each packet, then "used BYTES" (-1: no packet)
   self_test latency            of decimal numbers: count, p50, p99, p99.9 and max */
#include <inttypes.h>
#include <stdio.h>

#include "latency.h"
#include "packets.h"

static uint8_t input[MAX_UNIT_BYTES * 2];
static struct latency times;

static void show(void *context, int32_t operation, const uint8_t *body, size_t size) {
    (void)context;
    printf("%d ", operation);
    for (size_t at = 0; at < size; at++)
        printf("%02x", body[at]);
    printf("\n");
}

int main(int count, char **words) {
    if (count == 2 && !strcmp(words[1], "latency")) {
        uint64_t value;
        while (scanf("%" SCNu64, &value) == 1)
            latency_add(&times, value);
        printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", times.count, latency_percentile(&times, 0.5),
               latency_percentile(&times, 0.99), latency_percentile(&times, 0.999), times.max);
        return 0;
    }
    size_t size = fread(input, 1, sizeof input, stdin);
    int framed = count == 2 && !strcmp(words[1], "websocket");
    printf("used %ld\n", framed ? walk_frames(input, size, show, NULL) : walk_packets(input, size, show, NULL));
    return 0;
}
