// The packet of the client wire, big-endian: int32 package length, int16 header length (16), int16 version,
// int32 operation, int32 sequence, body. Bytes to values and back; nothing else.

export const HEADER_BYTES = 16;

export const Operation = Object.freeze({
  HEARTBEAT: 2,
  HEARTBEAT_REPLY: 3,
  AUTH: 7,
  AUTH_REPLY: 8,
  RAW: 9, // a WebSocket message whose body is complete packets
  CHANGE_ROOM: 12,
  CHANGE_ROOM_REPLY: 13,
});

const utf8 = new TextEncoder();
const strict = new TextDecoder("utf-8", { fatal: true });

/** The packet's bytes. `body` is a Uint8Array, or a string that is sent in UTF-8. */
export function encode({ operation, body = "", sequence = 0, version = 1 }) {
  const bytes = typeof body === "string" ? utf8.encode(body) : body;
  const packet = new Uint8Array(HEADER_BYTES + bytes.length);
  const view = new DataView(packet.buffer);
  view.setInt32(0, packet.length);
  view.setInt16(4, HEADER_BYTES);
  view.setInt16(6, version);
  view.setInt32(8, operation);
  view.setInt32(12, sequence);
  packet.set(bytes, HEADER_BYTES);
  return packet;
}

/** The packets that fill `bytes` (a Uint8Array) exactly. Throws a RangeError otherwise: no length is trusted. */
export function* walk(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let start = 0;
  while (start < bytes.length) {
    const left = bytes.length - start;
    if (left < HEADER_BYTES) {
      throw new RangeError(`${left} bytes are no packet`);
    }
    const length = view.getInt32(start);
    const headerLength = view.getInt16(start + 4);
    if (headerLength < HEADER_BYTES || headerLength > length || length > left) {
      throw new RangeError(`a package of ${length} bytes with a header of ${headerLength} in ${left} bytes`);
    }
    yield {
      version: view.getInt16(start + 6),
      operation: view.getInt32(start + 8),
      sequence: view.getInt32(start + 12),
      body: bytes.subarray(start + headerLength, start + length),
    };
    start += length;
  }
}

/**
 * What one WebSocket message is: [pushed, packets]. Pushes come inside a raw packet, replies bare, so that a push whose
 * operation is a reply's is not taken for one.
 */
export function unpack(bytes) {
  const packets = [...walk(bytes)];
  if (packets.length === 1 && packets[0].operation === Operation.RAW) {
    return [true, [...walk(packets[0].body)]];
  }
  return [false, packets];
}

/** The body as text; null when it is not UTF-8. */
export function textOf(body) {
  try {
    return strict.decode(body);
  } catch {
    return null;
  }
}

/** The body as one int32; null when it is not four bytes. */
export function int32Of(body) {
  return body.length === 4 ? new DataView(body.buffer, body.byteOffset, 4).getInt32(0) : null;
}
