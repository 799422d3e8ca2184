// The frame: which view an address means, and what all views share.
//
// Knows addresses (#/user/5?k=20), the title, back and forward, `/` for search, day and night, the note that a newer
// model is in place, and the prompt for a key. Does not know what any view shows: a view is a file with
// `show(root, place)` that returns { title, update? }; `update(place)` takes a change of the address within the view.

import * as api from "./api.js";
import * as atlas from "./atlas.js";
import { el, failed, fill } from "./dom.js";
import * as find from "./find.js";
import * as item from "./item.js";
import { askForKey } from "./key.js";
import * as newitem from "./newitem.js";
import * as report from "./report.js";
import * as tags from "./tags.js";
import * as user from "./user.js";

const VIEWS = { find, user, item, tags, disk: atlas, new: newitem, report };
const TAB = { user: "find", item: "find" };
const HEALTH_EVERY_MS = 30_000;
const main = document.getElementById("main");
const news = document.getElementById("news");
let current = { view: null, shown: null, stop: new AbortController() };

/** The view, id and parameters that an address names. */
function parse(hash) {
  const [way, text = ""] = hash.replace(/^#\/?/, "").split("?");
  const [first, ...rest] = way.split("/");
  const view = Object.hasOwn(VIEWS, first) ? first : "find";
  return { view, id: plain(rest.join("/")), params: new URLSearchParams(text) };
}

function plain(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

async function route({ again = false, focus = true } = {}) {
  const place = parse(location.hash);
  mark(TAB[place.view] ?? place.view);
  if (!again && current.view === place.view && current.shown?.update) {
    title((await current.shown.update(place)) ?? null);
    return;
  }
  current.stop.abort();
  const stop = new AbortController();
  current = { view: place.view, shown: null, stop };
  api.fresh();
  fill(news);
  main.className = `view-${place.view}`;
  const root = el("div", { class: "view" });
  fill(main, root);
  try {
    const shown = await VIEWS[place.view].show(root, { ...place, signal: stop.signal, keep });
    if (stop.signal.aborted) return;
    current.shown = shown;
    title(shown.title);
    if (focus) settle(root);
  } catch (error) {
    if (stop.signal.aborted) return;
    fill(
      root,
      failed(error, () => route({ again: true })),
    );
  }
}

/** Puts parameters into the address without a step of history: sliders would fill it. */
function keep(params) {
  const way = location.hash.split("?")[0] || "#/";
  const text = params.toString();
  history.replaceState(null, "", text ? `${way}?${text}` : way);
}

function title(text) {
  if (text !== null) document.title = text ? `${text} · HyperLLM` : "HyperLLM";
}

function mark(tab) {
  for (const each of document.querySelectorAll("nav a")) {
    if (each.dataset.view === tab) each.setAttribute("aria-current", "page");
    else each.removeAttribute("aria-current");
  }
}

/** After a change of view a keyboard goes on from its top, and a screen reader says its heading. */
function settle(root) {
  window.scrollTo(0, 0);
  if (root.contains(document.activeElement)) return;
  const heading = root.querySelector("h1");
  if (!heading) return;
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
}

function newer() {
  if (news.childElementCount) return;
  const button = el("button", { type: "button", onclick: () => route({ again: true }) }, "Reload the list");
  fill(news, el("p", { class: "note" }, "A newer model is in place. ", button));
}

const dark = () => document.documentElement.dataset.theme === "dark";

function turn() {
  const next = dark() ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem("hyperllm-theme", next);
  } catch {
    /* storage is off: it holds until the page is left */
  }
  tint();
}

/** The system turned to day or night; without a wish of one's own the page goes along. */
function follow(event) {
  try {
    if (localStorage.getItem("hyperllm-theme")) return;
  } catch {
    /* storage is off: there is no wish */
  }
  document.documentElement.dataset.theme = event.matches ? "dark" : "light";
  tint();
}

/** The button names what it changes to; canvases hear of it. */
function tint() {
  fill(document.getElementById("theme"), dark() ? "☀ Light" : "☾ Dark");
  document.dispatchEvent(new CustomEvent("tint"));
}

function slash(event) {
  const typing = event.target.closest?.("input, textarea, select, dialog");
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || typing) return;
  event.preventDefault();
  const field = main.querySelector("[data-search]");
  if (field) field.focus();
  else {
    location.hash = "#/";
    addEventListener("hashchange", () => setTimeout(() => main.querySelector("[data-search]")?.focus()), {
      once: true,
    });
  }
}

document.getElementById("theme").addEventListener("click", turn);
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", follow);
document.addEventListener("keydown", slash);
addEventListener("hashchange", () => route());
api.on("version", newer);
api.on("locked", () => askForKey(() => route({ again: true })));
setInterval(() => {
  if (!document.hidden && !api.isLocked()) api.health().catch(() => undefined);
}, HEALTH_EVERY_MS);
tint();
route({ focus: false });
