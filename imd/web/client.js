// A connection to comet that comes back: authenticates, joins a room, beats, redials with back-off.
// It knows no page: what happens is told by events, what it needs is handed in.

import { Operation, encode, int32Of, textOf, unpack } from "./packet.js";

export const State = Object.freeze({
  OFFLINE: "offline", // nobody wants it to be connected, or coming back unchanged cannot succeed
  CONNECTING: "connecting", // dialling, or waiting for the answer to op 7
  ONLINE: "online",
  WAITING: "waiting", // lost; it dials again at `detail.at`
});

// Ends after which the same client, unchanged, cannot succeed (docs/protocol.md has all close codes).
const FINAL_CODES = new Set([4010, 4011, 4012, 4013, 4014, 4015, 4020, 4030]);

const DIAL_MS = 8000; // for the addresses, the connection and the answer to op 7
const REPLY_MS = 8000; // for the answer to a heartbeat

/**
 * Events, each with `detail`:
 * - `state`: {state, url, at?, reason?}
 * - `push`: {operation, body, room}: one pushed packet; `body` is a Uint8Array
 * - `room`: {room}: the server has put us there
 * - `online`: {count}: members of the room, as the last heartbeat said
 */
export class Client extends EventTarget {
  #options;
  #socket = null; // the WebSocket that is dialling or open
  #attempt = null; // the dial under way; null = none
  #state = State.OFFLINE;
  #url = "";
  #room = "";
  #sequence = 0;
  #failures = 0; // in a row, since the last answer to op 7
  #timers = { dial: 0, beat: 0, reply: 0, redial: 0 };

  /**
   * @param addresses async () => URLs to try, best first; asked at every attempt
   * @param credentials () => {mid, token}
   * @param heartbeatSeconds how often to beat
   * @param backoff {base, factor, max, jitter}: seconds, and a share of them
   */
  constructor({ addresses, credentials = () => ({}), heartbeatSeconds = 15, backoff = {} }) {
    super();
    this.#options = {
      addresses,
      credentials,
      heartbeatSeconds,
      backoff: { base: 0.5, factor: 1.8, max: 30, jitter: 0.3, ...backoff },
    };
  }

  get state() {
    return this.#state;
  }

  get room() {
    return this.#room;
  }

  /** Connect, and stay so until `stop`. */
  start(room) {
    this.#room = room;
    this.#failures = 0;
    this.#dial();
  }

  stop() {
    this.#drop();
    this.#become(State.OFFLINE);
  }

  /** Dial now instead of when the back-off ends. */
  retry() {
    if (this.#state === State.WAITING || this.#state === State.OFFLINE) {
      this.#dial();
    }
  }

  /** Go to another room; empty leaves. When not connected, the next connection begins there. */
  join(room) {
    this.#room = room;
    if (this.#state === State.ONLINE) {
      this.#send(Operation.CHANGE_ROOM, room);
    } else {
      this.start(room);
    }
  }

  async #dial() {
    this.#drop();
    const attempt = {};
    this.#attempt = attempt; // a later dial or stop makes this one stale
    this.#timers.dial = setTimeout(() => this.#lost("no answer"), DIAL_MS);
    this.#become(State.CONNECTING);
    let urls;
    try {
      urls = await this.#options.addresses();
    } catch {
      urls = []; // logic is away as well; the next attempt asks again
    }
    if (this.#attempt !== attempt) {
      return;
    }
    if (!urls.length) {
      this.#lost("no server is known");
      return;
    }
    this.#url = urls[this.#failures % urls.length];
    this.#open();
  }

  #open() {
    let socket;
    try {
      socket = new WebSocket(this.#url);
    } catch (error) {
      this.#lost(error.message);
      return;
    }
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    this.#become(State.CONNECTING);
    const mine = (handler) => (event) => {
      if (this.#socket === socket) {
        handler(event);
      }
    };
    socket.addEventListener("open", mine(() => this.#authenticate()));
    socket.addEventListener("message", mine((event) => this.#received(event.data)));
    socket.addEventListener("close", mine((event) => this.#closed(event)));
  }

  #authenticate() {
    const { mid = 0, token = "" } = this.#options.credentials();
    const auth = { mid, key: "", room_id: this.#room, platform: "web", accepts: [1000, 1001, 1002] };
    if (token) {
      auth.token = token;
    }
    this.#send(Operation.AUTH, JSON.stringify(auth));
  }

  #received(data) {
    try {
      const [pushed, packets] = unpack(new Uint8Array(data));
      for (const { operation, body } of packets) {
        if (pushed) {
          this.#tell("push", { operation, body, room: this.#room });
        } else {
          this.#replied(operation, body);
        }
      }
    } catch (error) {
      if (!(error instanceof RangeError)) {
        throw error;
      }
      this.#lost(`the server sent nonsense: ${error.message}`);
    }
  }

  #replied(operation, body) {
    switch (operation) {
      case Operation.AUTH_REPLY:
        clearTimeout(this.#timers.dial);
        this.#failures = 0;
        this.#become(State.ONLINE);
        this.#tell("room", { room: this.#room });
        this.#beat();
        break;
      case Operation.HEARTBEAT_REPLY:
        clearTimeout(this.#timers.reply);
        this.#tell("online", { count: int32Of(body) ?? 0 });
        break;
      case Operation.CHANGE_ROOM_REPLY:
        this.#tell("room", { room: textOf(body) ?? "" });
        this.#beat(); // its answer tells how many are here
        break;
    }
  }

  #beat() {
    clearTimeout(this.#timers.beat);
    clearTimeout(this.#timers.reply);
    this.#send(Operation.HEARTBEAT);
    this.#timers.reply = setTimeout(() => this.#lost("the server does not answer"), REPLY_MS);
    this.#timers.beat = setTimeout(() => this.#beat(), this.#options.heartbeatSeconds * 1000);
  }

  #closed({ code, reason }) {
    if (FINAL_CODES.has(code)) {
      this.#drop();
      this.#become(State.OFFLINE, { reason: reason || `closed with ${code}` });
    } else {
      this.#lost(reason || (this.#state === State.ONLINE ? "the connection was lost" : "no connection"));
    }
  }

  #lost(reason) {
    this.#drop();
    const { base, factor, max, jitter } = this.#options.backoff;
    const seconds = Math.min(max, base * factor ** this.#failures) * (1 - jitter * Math.random());
    this.#failures += 1;
    this.#timers.redial = setTimeout(() => this.#dial(), seconds * 1000);
    this.#become(State.WAITING, { reason, at: Date.now() + seconds * 1000 });
  }

  #drop() {
    this.#attempt = null;
    Object.values(this.#timers).forEach(clearTimeout);
    const socket = this.#socket;
    this.#socket = null; // its late events are nobody's
    socket?.close();
  }

  #send(operation, body = "") {
    this.#sequence = (this.#sequence + 1) & 0x7fffffff;
    this.#socket.send(encode({ operation, body, sequence: this.#sequence }));
  }

  #become(state, detail = {}) {
    this.#state = state;
    this.#tell("state", { state, url: this.#url, ...detail });
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
