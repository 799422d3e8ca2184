// What the page asks of the server.
//
// Knows the addresses, the API key (kept for this tab only), refusals in plain words, and that every answer names the
// version of the model it came from. Does not know what is shown; other files listen with `on`.

const KEY = "hyperllm-key";
const listeners = { version: [], locked: [] };
let version = null;
let locked = false;

/** A refusal or a failure, in words for a person. */
export class Failure extends Error {
  constructor(message, status) {
    super(message);
    this.name = "Failure";
    this.status = status;
  }
}

/** Calls `heard` on "version" (the model changed under the page) or on "locked" (a key is wanted). */
export function on(event, heard) {
  listeners[event].push(heard);
}

/** Forgets which version the page shows: the next answer says it. */
export function fresh() {
  version = null;
}

export const key = {
  get: () => sessionStorage.getItem(KEY),
  set: (text) => sessionStorage.setItem(KEY, text),
  drop: () => sessionStorage.removeItem(KEY),
};

/** Whether the last answer was that a key is wanted. */
export const isLocked = () => locked;

/** Query text of an object; lists repeat their name, empty values are left out. */
export function query(parts) {
  const made = new URLSearchParams();
  for (const [name, value] of Object.entries(parts)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== undefined && each !== null && each !== "") made.append(name, each);
    }
  }
  const text = made.toString();
  return text ? `?${text}` : "";
}

async function ask(path, { signal, body, own = false } = {}) {
  const headers = { Accept: "application/json" };
  if (key.get()) headers.Authorization = `Bearer ${key.get()}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const request = { headers, signal, method: body === undefined ? "GET" : "POST" };
  if (body !== undefined) request.body = JSON.stringify(body);
  let answer;
  try {
    answer = await fetch(path, request);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("The server does not answer. Is it still running?", 0);
  }
  locked = answer.status === 401;
  if (!answer.ok) throw await refusal(answer);
  const told = await answer.json();
  notice(told.version, own);
  return told;
}

async function refusal(answer) {
  let said = "";
  try {
    said = (await answer.json()).error;
  } catch {
    /* not JSON: the status has to do */
  }
  if (answer.status === 401) {
    key.drop();
    for (const heard of listeners.locked) heard();
    return new Failure("This server wants an API key.", 401);
  }
  if (answer.status === 429) return new Failure("That was too much at once. Wait a moment and try again.", 429);
  return new Failure(said ? sentence(said) : `The server answered with status ${answer.status}.`, answer.status);
}

function sentence(text) {
  const whole = String(text).trim();
  return whole.charAt(0).toUpperCase() + whole.slice(1) + (/[.!?]$/.test(whole) ? "" : ".");
}

function notice(found, own) {
  if (!found) return;
  if (version !== null && found !== version && !own) for (const heard of listeners.version) heard();
  version = version === null || own ? found : version;
}

const id = encodeURIComponent;

export const health = (more) => ask("/health", more);
export const users = (text, limit, more) => ask(`/users${query({ query: text, limit })}`, more);
export const items = (text, limit, more) => ask(`/items${query({ query: text, limit })}`, more);
export const user = (name, more) => ask(`/users/${id(name)}`, more);
export const item = (name, more) => ask(`/items/${id(name)}`, more);
export const recommend = (wanted, more) => ask(`/recommend${query({ ...wanted, explain: true })}`, more);
export const similar = (name, k, more) => ask(`/similar${query({ item: name, k })}`, more);
export const explain = (who, what, more) => ask(`/explain${query({ user: who, item: what })}`, more);
export const tags = (wanted, more) => ask(`/tags${query(wanted)}`, more);
export const tag = (name, more) => ask(`/tags/${id(name)}`, more);
export const disk = (more) => ask("/disk", more);
export const place = (name, more) => ask(`/disk/users/${id(name)}`, more);
export const report = (more) => ask("/report", more);
export const description = (more) => ask("/openapi.json", more);

/** Places a new item: shown and forgotten, or kept. Keeping changes the version by our own hand. */
export const add = (made, keep, more) => ask("/items", { ...more, body: { items: [made], keep }, own: keep });
