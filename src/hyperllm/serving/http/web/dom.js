// Making elements.
//
// Knows that text from a server is text: everything goes in as a text node, never as HTML. Also the three states every
// view has besides its content: waiting, empty, failed. Does not know any view.

/** An element with attributes, listeners (`onclick`) and children; a child that is a string becomes a text node. */
export function el(name, attributes = {}, ...children) {
  return fill(set(document.createElement(name), attributes), ...children);
}

/** Sets attributes; `false`, null and undefined leave one out, `true` sets it empty, `class` may be a list. */
export function set(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = [value].flat().filter(Boolean).join(" ");
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, String(value));
    else node.removeAttribute(name);
  }
  return node;
}

/** Replaces what an element holds. */
export function fill(node, ...children) {
  node.replaceChildren(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return node;
}

/** A link within the page. */
export function link(route, text, attributes = {}) {
  return el("a", { href: route, ...attributes }, text);
}

/** A bar that is `share` (0 … 1) full; numbers beside it say what it means. */
export function bar(share, kind = "") {
  const inner = el("span", { class: ["fill", kind] });
  inner.style.inlineSize = `${Math.round(100 * Math.min(1, Math.max(0, share)))}%`;
  return el("span", { class: "bar", "aria-hidden": "true" }, inner);
}

/** Text for ears only. */
export function said(text) {
  return el("span", { class: "said" }, text);
}

/** Grey lines where content will be. */
export function waiting(lines = 4, text = "Loading …") {
  const rows = Array.from({ length: lines }, () => el("div", { class: "ghost", "aria-hidden": "true" }));
  return el("div", { class: "waiting", role: "status" }, said(text), rows);
}

/** Nothing to show, and what to do about it. */
export function empty(text, ...more) {
  return el("div", { class: "empty" }, el("p", {}, text), more);
}

/** What went wrong and a way to try again. */
export function failed(error, again) {
  const text =
    error && error.name === "Failure" ? error.message : "Something in this page failed. Reload it and try again.";
  if (!error || error.name !== "Failure") console.error(error);
  const button = again ? el("button", { type: "button", onclick: again }, "Try again") : null;
  return el("div", { class: "failed", role: "alert" }, el("p", {}, text), button);
}

/** Calls `done` once nothing was asked for `ms` milliseconds. */
export function after(ms, done) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => done(...given), ms);
  };
}
