// The served page's end of the WebSocket: a model as a widget has it, kept up with the server's.
// A lost connection is made again, to the same session where the server still has it.
import page from "./session.js";

const MOVED = 4001, ENDED = 4002; // seats.py
const AGAIN_MS = [500, 1000, 2000, 5000];

// Frame: length of the head (uint32, little-endian), head, then the buffers that it lists.
function readFrame(data) {
  const length = new DataView(data).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  let at = 4 + length;
  head.buffers = head.sizes.map((size) => new DataView(data, (at += size) - size, size));
  return head;
}

function servedModel(send) {
  const state = {}, listeners = new Map();
  const heard = (name) => listeners.get(name) || listeners.set(name, new Set()).get(name);
  const fire = (name, ...told) => [...heard(name)].forEach((react) => react(...told));
  return {
    get: (name) => state[name],
    on: (name, react) => heard(name).add(react),
    off: (name, react) => heard(name).delete(react),
    send,
    take({ method, state: told, content, buffer_paths: paths = [], buffers }) {
      if (method === "custom") return fire("msg:custom", content, buffers);
      if (method !== "update") return;
      paths.forEach((path, i) => (path.slice(0, -1).reduce((place, key) => place[key], told)[path.at(-1)] = buffers[i]));
      Object.assign(state, told);
      Object.keys(told).forEach((name) => fire(`change:${name}`));
    },
  };
}

function openRoom(root) {
  const room = { page: crypto.randomUUID(), tries: 0, leave: null, socket: null, root };
  room.model = servedModel((content) => {
    if (room.socket?.readyState !== WebSocket.OPEN) throw new Error("The connection is lost");
    room.socket.send(JSON.stringify(content));
  });
  window.addEventListener("online", () => tryNow(room));
  window.addEventListener("pageshow", (event) => event.persisted && tryNow(room)); // browser back
  connect(room);
}

function connect(room) {
  const address = new URL("channel", document.baseURI);
  address.protocol = address.protocol.replace("http", "ws");
  const socket = (room.socket = new WebSocket(address));
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    const begun = ![undefined, "start"].includes(room.model.get("state")?.stage);
    socket.send(JSON.stringify({ hello: room.page, begun }));
  };
  socket.onmessage = ({ data }) => {
    room.tries = 0;
    room.model.take(readFrame(data));
    if (!room.leave && room.model.get("_colours")) {
      room.root.replaceChildren();
      room.leave = page.render({ model: room.model, el: room.root });
    }
  };
  socket.onclose = ({ code }) => room.socket === socket && code !== MOVED && again(room, code === ENDED);
}

// A link that ended is told from a server that is away; a pause is waited for.
async function again(room, ended) {
  const wait = ended ? 0 : AGAIN_MS[Math.min(room.tries++, AGAIN_MS.length - 1)];
  await new Promise((go) => setTimeout((room.go = go), wait));
  try {
    const { why, words, again: later } = await (await fetch("state", { credentials: "same-origin" })).json();
    if (why) shut(room, words);
    if (why) return later && again(room, false);
    if (room.shut) return location.reload();
  } catch { /* no network, or no server: try once more */ }
  connect(room);
}

function tryNow(room) {
  room.tries = 0;
  room.go?.();
}

// Nothing of a case stays on the page; an answer not yet stored stays in this browser.
function shut(room, words) {
  room.leave?.();
  room.leave = null;
  room.shut = true;
  const cover = Object.assign(document.createElement("div"), { className: "cr-start" });
  cover.append(Object.assign(document.createElement("h2"), { textContent: "Reading session" }),
    Object.assign(document.createElement("p"), { textContent: words, role: "alert" }));
  room.root.className = "cr-session";
  room.root.dataset.stage = "shut";
  delete room.root.dataset.case;
  room.root.replaceChildren(cover);
}

openRoom(document.getElementById("reading"));
