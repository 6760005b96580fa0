// A saved widget without Jupyter: the model that viewer.js expects, over plain data.

function bytesOf(text) {
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return new DataView(bytes.buffer);
}

function savedModel({ state, buffers }) {
  for (const { path, data } of buffers) {
    const parent = path.slice(0, -1).reduce((place, key) => place[key], state);
    parent[path.at(-1)] = bytesOf(data);
  }
  const listeners = new Map();
  const heard = (name) => listeners.get(name) || listeners.set(name, new Set()).get(name);
  return {
    get: (name) => state[name],
    set(name, value) {
      if (state[name] === value) return;
      state[name] = value;
      heard(`change:${name}`).forEach((react) => react());
    },
    on: (name, react) => heard(name).add(react),
    off: (name, react) => heard(name).delete(react),
    save_changes() {},
    send() {},
    offline: true, // no kernel will ever answer
  };
}

function mount(id) {
  const model = savedModel(JSON.parse(document.getElementById(`${id}-data`).textContent));
  widget.render({ model, el: document.getElementById(id) });
}
