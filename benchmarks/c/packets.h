/* Packets of the client wire (docs/protocol.md) in a stream that is cut anywhere. Nothing here knows a socket. */
#ifndef IMD_PACKETS_H
#define IMD_PACKETS_H

#include <stdint.h>
#include <stddef.h>
#include <string.h>

enum {
    HEADER_BYTES = 16,
    OP_HEARTBEAT = 2,
    OP_AUTH = 7,
    OP_AUTH_REPLY = 8,
    OP_RAW = 9,
    MAX_UNIT_BYTES = 1 << 20 /* of one packet or frame: what is larger is a fault */
};

typedef void (*visit_t)(void *context, int32_t operation, const uint8_t *body, size_t size);

static inline uint32_t be32(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline uint64_t be64(const uint8_t *at) { return (uint64_t)be32(at) << 32 | be32(at + 4); }

static inline void put32(uint8_t *at, uint32_t value) {
    at[0] = value >> 24, at[1] = value >> 16, at[2] = value >> 8, at[3] = value;
}

static inline void put64(uint8_t *at, uint64_t value) { put32(at, value >> 32), put32(at + 4, (uint32_t)value); }

/* Write a version-1 header; answers its size. */
static inline size_t put_header(uint8_t *at, int32_t operation, size_t body_size, int32_t sequence) {
    put32(at, HEADER_BYTES + body_size);
    put32(at + 4, HEADER_BYTES << 16 | 1);
    put32(at + 8, operation);
    put32(at + 12, sequence);
    return HEADER_BYTES;
}

/* The start of a binary WebSocket frame; answers its size. A client's is masked: with a key of zeros, which changes nothing. */
static inline size_t put_frame(uint8_t *at, size_t size, int masked) {
    size_t used = 2;
    at[0] = 0x82;
    if (size < 126) {
        at[1] = size;
    } else if (size < 65536) {
        at[1] = 126, at[2] = size >> 8, at[3] = size, used = 4;
    } else {
        at[1] = 127, put64(at + 2, size), used = 10;
    }
    if (masked) {
        at[1] |= 0x80;
        memset(at + used, 0, 4);
        used += 4;
    }
    return used;
}

/* Visit each complete packet. Answers the bytes they take, or -1 for what is no packet. */
static inline long walk_packets(const uint8_t *data, size_t size, visit_t visit, void *context) {
    size_t at = 0;
    while (size - at >= HEADER_BYTES) {
        uint32_t length = be32(data + at);
        uint32_t header = (uint32_t)data[at + 4] << 8 | data[at + 5];
        if (header < HEADER_BYTES || length < header || length > MAX_UNIT_BYTES)
            return -1;
        if (size - at < length)
            break;
        visit(context, (int32_t)be32(data + at + 8), data + at + header, length - header);
        at += length;
    }
    return (long)at;
}

/* The same in the server's WebSocket frames: one packet each, which may be an envelope of many. Control frames are visited as
   operation -opcode; fragments and masks are a fault, for a comet sends none. */
static inline long walk_frames(const uint8_t *data, size_t size, visit_t visit, void *context) {
    size_t at = 0;
    while (size - at >= 2) {
        const uint8_t *frame = data + at;
        size_t left = size - at, start = 2;
        uint64_t length = frame[1];
        if (!(frame[0] & 0x80) || frame[1] & 0x80)
            return -1;
        if (length == 126) {
            if (left < 4)
                break;
            length = (uint64_t)frame[2] << 8 | frame[3], start = 4;
        } else if (length == 127) {
            if (left < 10)
                break;
            length = be64(frame + 2), start = 10;
        }
        if (length > MAX_UNIT_BYTES)
            return -1;
        if (left < start + length)
            break;
        const uint8_t *payload = frame + start;
        int opcode = frame[0] & 0x0f;
        if (opcode != 2) {
            visit(context, -opcode, payload, length);
        } else {
            if (length < HEADER_BYTES || be32(payload) != length)
                return -1;
            int raw = be32(payload + 8) == OP_RAW;
            const uint8_t *inner = raw ? payload + HEADER_BYTES : payload;
            size_t inner_size = raw ? length - HEADER_BYTES : length;
            if (walk_packets(inner, inner_size, visit, context) != (long)inner_size)
                return -1;
        }
        at += start + length;
    }
    return (long)at;
}

#endif
