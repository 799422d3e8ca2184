// A field that offers what it finds while one types: a combobox with a listbox, by the book of ARIA.
//
// Knows keys (arrows, Home, End, Enter, Escape), the pointer, and that a newer question makes an older answer void.
// Does not know what is searched: `find(text, signal)` gives options { group, text, detail, value }.

import { after, el, fill, set } from "./dom.js";

let made = 0;
const PAUSE_MS = 140;

/** The field with its list. `choose(option)` is called with what was picked. */
export function combobox({ label, hint = "", find, choose, clear = true, attributes = {} }) {
  const name = `find-${++made}`;
  const list = el("div", { role: "listbox", id: `${name}-list`, "aria-label": label, class: "options", hidden: true });
  const input = el("input", {
    type: "text",
    id: name,
    role: "combobox",
    "aria-expanded": "false",
    "aria-controls": `${name}-list`,
    "aria-autocomplete": "list",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: hint,
    ...attributes,
  });
  const told = el("span", { class: "said", role: "status" });
  const box = el("div", { class: "combobox" }, el("label", { for: name }, label), input, list, told);
  let options = [],
    active = -1,
    asked = null,
    wish = null; // a key pressed before the answer is there: "pick", "move"

  const search = after(PAUSE_MS, async () => {
    asked?.abort();
    asked = new AbortController();
    const { signal } = asked;
    try {
      const found = await find(input.value.trim(), signal);
      if (!signal.aborted) offer(found);
    } catch (error) {
      if (!signal.aborted) offer([], error.message);
    }
  });

  function offer(found, trouble = "") {
    options = found;
    active = -1;
    const groups = [...new Set(found.map((option) => option.group))];
    const parts = groups.map((group, place) =>
      el(
        "div",
        { role: "group", "aria-labelledby": `${name}-group-${place}` },
        el("div", { class: "group", id: `${name}-group-${place}` }, group),
        found.map((option, index) => (option.group === group ? line(option, index) : null)),
      ),
    );
    const text = trouble || (found.length ? "" : input.value.trim() ? "Nothing found." : "Nothing to choose from.");
    fill(list, parts, text ? el("div", { class: "nothing" }, text) : null);
    fill(told, text || `${found.length} found`);
    const wanted = wish;
    wish = null;
    if (wanted === "pick" && found.length) return pick(0);
    if (document.activeElement !== input) return;
    show();
    if (wanted === "move") move(0);
  }

  function ask(wanted) {
    wish = wanted;
    search();
  }

  function line(option, index) {
    return el(
      "div",
      {
        role: "option",
        id: `${name}-${index}`,
        "aria-selected": "false",
        class: "option",
        onpointerdown: (event) => event.preventDefault(),
        onclick: () => pick(index),
      },
      el("span", { class: "text" }, option.text),
      option.detail ? el("span", { class: "detail" }, option.detail) : null,
    );
  }

  function show() {
    list.hidden = false;
    set(input, { "aria-expanded": "true" });
  }

  function hide() {
    list.hidden = true;
    set(input, { "aria-expanded": "false", "aria-activedescendant": null });
    active = -1;
  }

  function move(to) {
    if (!options.length) return;
    active = (to + options.length) % options.length;
    for (const each of list.querySelectorAll("[role=option]")) {
      const chosen = each.id === `${name}-${active}`;
      each.setAttribute("aria-selected", String(chosen));
      if (chosen) each.scrollIntoView({ block: "nearest" });
    }
    set(input, { "aria-activedescendant": `${name}-${active}` });
  }

  function pick(index) {
    wish = null;
    const option = options[index];
    if (!option) return;
    hide();
    asked?.abort();
    if (clear) input.value = "";
    options = [];
    choose(option);
  }

  input.addEventListener("input", () => {
    wish = null;
    options = [];
    search();
  });
  input.addEventListener("focus", () => (options.length ? show() : search()));
  input.addEventListener("blur", hide);
  input.addEventListener("keydown", (event) => {
    const open = !list.hidden;
    if (event.key === "ArrowDown") options.length && open ? move(active + 1) : ask("move");
    else if (event.key === "ArrowUp") open && move(active < 0 ? -1 : active - 1);
    else if (event.key === "Enter") {
      if (open && options.length) pick(Math.max(0, active));
      else if (input.value.trim()) ask("pick");
    } else if (event.key === "Escape") {
      if (open) hide();
      else input.value = "";
    } else return;
    event.preventDefault();
  });
  return { box, input };
}
