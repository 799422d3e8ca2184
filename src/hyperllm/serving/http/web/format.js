// Numbers and paths as people read them.
//
// Knows digits, minus signs, plurals and addresses of views. Does not know elements.

const whole = new Intl.NumberFormat("en-GB");

/** 12345 -> "12,345" */
export const count = (n) => whole.format(n);

/** "1 click", "2 clicks" */
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

/** Three significant places with a true minus sign. */
export function number(value, places = 3) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const text = Math.abs(value) >= 1000 ? count(Math.round(value)) : value.toFixed(places);
  return text.replace("-", "−");
}

/** A setting or a measured value of unknown kind. */
export function value(given) {
  if (given === null || given === undefined) return "none";
  if (given === true) return "yes";
  if (given === false) return "no";
  if (typeof given === "number") {
    if (Number.isInteger(given)) return count(given).replace("-", "−");
    return String(Number(given.toPrecision(4))).replace("-", "−");
  }
  return Array.isArray(given) ? given.map(value).join(", ") || "none" : String(given);
}

/** 97.2 -> "1 min 37 s" */
export function duration(seconds) {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** 5500000 -> "5.5 MB" */
export function bytes(size) {
  const names = ["B", "kB", "MB", "GB", "TB"];
  const step = size > 0 ? Math.min(names.length - 1, Math.floor(Math.log10(size) / 3)) : 0;
  return `${(size / 1000 ** step).toFixed(step ? 1 : 0)} ${names[step]}`;
}

/** What an item is called: its title, or its id where it has none. */
export const name = (item) => item.title || `Item ${item.item_id}`;

/** Broad to specific. */
export const path = (parts) => parts.join(" › ");

const part = encodeURIComponent;

export const to = {
  user: (id) => `#/user/${part(id)}`,
  item: (id) => `#/item/${part(id)}`,
  tag: (id) => `#/tags/${part(id)}`,
  disk: (lit) => `#/disk?${new URLSearchParams(lit)}`,
};
