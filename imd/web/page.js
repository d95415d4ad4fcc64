// The page: joins a room, shows what arrives, pushes. Whatever came from outside is put in as text, never as HTML.

import { Client, State } from "./client.js";
import { textOf } from "./packet.js";

const MAX_MESSAGES = 200; // shown; the oldest make place
const MAX_SHOWN_CHARS = 20_000; // of one body
const MAX_ROOM_BYTES = 255;
const INT32 = { min: -(2 ** 31), max: 2 ** 31 - 1 };
const THEMES = ["auto", "light", "dark"];

const $ = (id) => document.getElementById(id);
const settings = await loadSettings();
const client = new Client({ addresses, credentials, heartbeatSeconds: settings.heartbeat_seconds, backoff: { max: 15 } });
let following = true; // the list was at its end when it was scrolled last
let unseen = 0; // arrived while it was not at its end
let countdown = 0; // the interval that shows when it dials again
let wasOnline = false; // whether the state before the present one was online

// --- the server ---

async function loadSettings() {
  for (let wait = 500; ; wait = Math.min(wait * 2, 8000)) {
    try {
      const response = await fetch("/page.json", { signal: AbortSignal.timeout(8000) });
      if (response.ok) {
        return await response.json();
      }
    } catch {
      // The server is away: it was here a moment ago, when it served this page.
    }
    $("status-text").textContent = "The server does not answer; trying again…";
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

/** URLs of comets, best first. Seen through loopback, the comet is behind the same name as this page. */
async function addresses() {
  if (settings.websocket_url) {
    return [settings.websocket_url];
  }
  const secure = location.protocol === "https:";
  const port = secure ? settings.secure_websocket_port : settings.websocket_port;
  const urlOf = (host) => `${secure ? "wss" : "ws"}://${host}:${port}/sub`;
  const here = location.hostname;
  if (!settings.nodes || ["localhost", "127.0.0.1", "[::1]"].includes(here)) {
    return [urlOf(here)];
  }
  const response = await fetch("/goim/nodes/weighted?platform=web");
  const nodes = (await response.json()).data?.nodes ?? [];
  return [...new Set([...nodes, here])].map(urlOf);
}

function credentials() {
  return { mid: Number($("mid").value.trim() || 0), token: $("token").value.trim() };
}

async function push(room, operation, body) {
  const headers = { "Content-Type": "application/json" };
  const key = $("key").value.trim();
  if (key) {
    headers.Authorization = `Bearer ${key}`;
  }
  const response = await fetch("/v1/push", {
    method: "POST",
    headers,
    body: JSON.stringify({ to: { room }, op: operation, body }),
    signal: AbortSignal.timeout(15_000),
  });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    const again = response.headers.get("Retry-After");
    const advice = again ? ` Try again in ${again} s.` : "";
    throw new Error(`${answer.error?.message ?? `the server said ${response.status}`}.${advice}`);
  }
  return answer;
}

// --- forms ---

function fail(field, output, words) {
  output.textContent = words;
  field?.setAttribute("aria-invalid", "true");
  field?.focus();
}

function clearFaults(form) {
  form.querySelectorAll("[aria-invalid]").forEach((field) => field.removeAttribute("aria-invalid"));
  form.querySelectorAll(".error").forEach((output) => (output.textContent = ""));
}

function faultOfRoom(room) {
  const at = room.indexOf("://");
  if (at < 1 || at + 3 === room.length) {
    return "A room is type://name, for example live://1000.";
  }
  const bytes = new TextEncoder().encode(room).length;
  return bytes > MAX_ROOM_BYTES ? `A room has at most ${MAX_ROOM_BYTES} bytes; this one has ${bytes}.` : "";
}

function isInteger(text, { min, max }) {
  return /^-?\d{1,16}$/.test(text) && Number(text) >= min && Number(text) <= max;
}

function submitJoin(event) {
  event.preventDefault();
  clearFaults($("join"));
  const room = $("room").value.trim();
  const fault = faultOfRoom(room);
  if (fault) {
    return fail($("room"), $("room-error"), fault);
  }
  const mid = $("mid").value.trim();
  if (mid && !isInteger(mid, { min: 0, max: Number.MAX_SAFE_INTEGER })) {
    $("identity").open = true;
    return fail($("mid"), $("mid-error"), "A member id is a whole number.");
  }
  const who = JSON.stringify(credentials());
  if (who !== $("join").dataset.who) {
    $("join").dataset.who = who; // another identity needs another connection
    client.stop();
  }
  client.join(room);
  showRoom(room);
}

async function submitPush(event) {
  event.preventDefault();
  clearFaults($("push"));
  $("pushed").textContent = "";
  const operation = $("operation").value.trim();
  if (!isInteger(operation, INT32)) {
    return fail($("operation"), $("push-error"), "An operation is a whole number of 32 bits; by convention 1000 and up.");
  }
  if (settings.push_key_needed && !$("key").value.trim()) {
    return fail($("key"), $("push-error"), "This server wants a push key.");
  }
  if (!$("body").value) {
    return fail($("body"), $("push-error"), "Write something first.");
  }
  $("send").disabled = true;
  try {
    const { id, result } = await push(client.room, Number(operation), $("body").value);
    $("pushed").textContent = `${result}, id ${id}`;
    $("body").value = "";
    $("body").focus();
  } catch (error) {
    const words = error.name === "TimeoutError" || error instanceof TypeError ? "The server does not answer." : error.message;
    fail($("body"), $("push-error"), `Not pushed: ${words}`);
  } finally {
    $("send").disabled = false;
  }
}

// --- what is shown ---

function showState({ detail }) {
  clearInterval(countdown);
  const { state, url, at, reason } = detail;
  $("status").dataset.state = state;
  $("retry").hidden = state !== State.WAITING && state !== State.OFFLINE;
  const words = {
    [State.CONNECTING]: () => `Connecting${url ? ` to ${url}` : ""}…`,
    [State.ONLINE]: () => `Connected to ${url}`,
    [State.OFFLINE]: () => (reason ? `Not connected: ${reason}` : "Not connected"),
    [State.WAITING]: () => `${sentence(reason)}; again in ${Math.max(0, Math.ceil((at - Date.now()) / 1000))} s`,
  }[state];
  const show = () => ($("status-text").textContent = words());
  show();
  $("status-text").title = words();
  if (state === State.WAITING) {
    countdown = setInterval(show, 500);
  }
  if (state !== State.ONLINE) {
    $("online").textContent = "";
  }
  if ((state === State.WAITING && wasOnline) || (state === State.OFFLINE && reason)) {
    addEvent(sentence(reason));
  }
  wasOnline = state === State.ONLINE;
}

function sentence(words) {
  return words.charAt(0).toUpperCase() + words.slice(1).replaceAll("_", " ");
}

function showRoom(room) {
  history.replaceState(null, "", `#${encodeURI(room)}`);
  $("room").value = room;
  const split = room.indexOf("://");
  const query = new URLSearchParams({ operation: 1000, type: room.slice(0, split), room: room.slice(split + 3) });
  const key = settings.push_key_needed ? " -H 'Authorization: Bearer KEY'" : "";
  const url = `${location.origin}/goim/push/room?${query}`.replaceAll("'", "%27");
  $("curl").textContent = `curl -d 'hello'${key} '${url}'`;
}

function addMessage({ operation, body, room }) {
  const item = $("message").content.cloneNode(true);
  stamp(item);
  item.querySelector(".room").textContent = room;
  item.querySelector(".operation").textContent = operation;
  const text = item.querySelector(".text");
  const words = textOf(body);
  if (words === null) {
    text.classList.add("binary");
    const hex = Array.from(body.subarray(0, 64), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
    text.textContent = `${hex}${body.length > 64 ? " …" : ""} (${body.length} bytes, not text)`;
  } else {
    const cut = words.length > MAX_SHOWN_CHARS;
    text.textContent = cut ? `${words.slice(0, MAX_SHOWN_CHARS)}… (${words.length} characters)` : words;
  }
  append(item, true);
}

function addEvent(words) {
  const item = $("event").content.cloneNode(true);
  stamp(item);
  item.querySelector(".text").textContent = words;
  append(item, false);
}

function stamp(item) {
  const now = new Date();
  const time = item.querySelector("time");
  time.dateTime = now.toISOString();
  time.textContent = now.toTimeString().slice(0, 8);
}

function append(item, counted) {
  const list = $("messages");
  const follows = atEnd();
  list.append(item);
  while (list.childElementCount > MAX_MESSAGES) {
    list.firstElementChild.remove();
  }
  $("empty").hidden = list.querySelector(".message") !== null;
  if (follows) {
    list.scrollTop = list.scrollHeight;
  } else if (counted) {
    unseen += 1;
    showUnseen();
  }
}

function atEnd() {
  const list = $("messages");
  return list.scrollHeight - list.scrollTop - list.clientHeight < 40;
}

function showUnseen() {
  $("newer").hidden = unseen === 0;
  $("newer").textContent = `${unseen} new ↓`;
}

function showTheme(theme) {
  document.documentElement.dataset.theme = theme;
  $("theme").textContent = `◐ ${sentence(theme)}`;
  $("theme").setAttribute("aria-label", `Colours: ${theme === "auto" ? "as the system" : theme}`);
}

// --- wiring ---

$("join").addEventListener("submit", submitJoin);
$("push").addEventListener("submit", submitPush);
$("body").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("push").requestSubmit();
  }
});
$("retry").addEventListener("click", () => client.retry());
$("clear").addEventListener("click", () => {
  $("messages").replaceChildren();
  $("empty").hidden = false;
  following = true;
  unseen = 0;
  showUnseen();
});
$("newer").addEventListener("click", () => $("messages").scrollTo({ top: $("messages").scrollHeight, behavior: "smooth" }));
$("messages").addEventListener("scroll", () => {
  following = atEnd();
  if (following) {
    unseen = 0;
    showUnseen();
  }
});
new ResizeObserver(() => {
  if (following) {
    $("messages").scrollTop = $("messages").scrollHeight; // a growing composer must not hide the newest
  }
}).observe($("messages"));
$("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText($("curl").textContent);
    $("copy").textContent = "Copied";
  } catch {
    getSelection().selectAllChildren($("curl")); // not a secure origin: the person copies it
    $("copy").textContent = "Selected";
  }
  setTimeout(() => ($("copy").textContent = "Copy"), 1500);
});
$("theme").addEventListener("click", () => {
  const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length];
  localStorage.setItem("theme", next);
  showTheme(next);
});
window.addEventListener("online", () => client.retry());

client.addEventListener("state", showState);
client.addEventListener("push", ({ detail }) => addMessage(detail));
client.addEventListener("room", ({ detail }) => addEvent(detail.room ? `Joined ${detail.room}` : "Left the room"));
client.addEventListener("online", ({ detail }) => ($("online").textContent = `${detail.count} here`));

showTheme(THEMES.includes(localStorage.getItem("theme")) ? localStorage.getItem("theme") : "auto");
$("key-field").hidden = !settings.push_key_needed;
$("token-field").hidden = !settings.token_needed;
$("identity").open = settings.token_needed;
const asked = roomOfHash();
showRoom(faultOfRoom(asked) ? "live://1000" : asked);
$("join").dataset.who = JSON.stringify(credentials());
if (settings.token_needed) {
  $("status-text").textContent = "Give a token and join";
  $("token").focus();
} else {
  client.start($("room").value);
  $("body").focus();
}

function roomOfHash() {
  try {
    return decodeURI(location.hash.slice(1));
  } catch {
    return "";
  }
}
