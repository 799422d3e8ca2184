// The view of the disk: the picture, its legend, who is lit up, and what was picked.
//
// Knows which user, item or tag the address names (#/disk?user=5&item=12&colour=level) and keeps a list of everything
// that is lit, with the same links, for those who do not see the picture. Does not know drawing or geometry.

import * as api from "./api.js";
import { Disk } from "./disk.js";
import { el, failed, fill, link, waiting } from "./dom.js";
import { name, plural, to } from "./format.js";
import { WAYS, legend } from "./legend.js";
import { aboutItem, aboutTag, litList, words } from "./marks.js";
import { combobox } from "./search.js";

const LIT = 10;
const HELP =
  "Drag to move, wheel or pinch to zoom, double click to centre, click for details. " +
  "Keys: arrows, + and −, 0 to start over, Enter for what is in the middle.";
const UNLIT = "History, recommendations and the user's own place are then drawn above all others.";

/** Draws the view. */
export async function show(root, place) {
  const { signal } = place;
  const { canvas, tip, heard, picked, who, stage, aside } = frame(root);
  const disk = new Disk(canvas, { signal, picked: pick, pointed });
  stage.append(buttons(disk));
  const data = await api.disk({ signal });
  stage.querySelector(".wait-disk").remove();
  const rows = { item: index(data.items.id), tag: index(data.tags.id) };
  const plain = data.categories.length ? "category" : "level"; // the colours where the address says nothing
  const state = { user: null, item: null, tag: null, colour: null, lit: null };
  disk.load(data);
  const key = legend(disk, { signal, choose: (way) => go({ colour: way === plain ? null : way }) });
  aside.append(key.root);
  const lit = el("div", { class: "lit" }, el("p", { class: "soft" }, UNLIT));
  who.append(
    userField((user) => go({ user })),
    lit,
  );
  await update(place);
  return { title: "Disk", update };

  async function update({ params }) {
    const wanted = Object.fromEntries(["user", "item", "tag", "colour"].map((part) => [part, params.get(part)]));
    wanted.colour = Object.hasOwn(WAYS, wanted.colour ?? "") ? wanted.colour : plain;
    const before = { ...state };
    Object.assign(state, wanted);
    if (wanted.colour !== before.colour) key.draw(wanted.colour);
    await Promise.all([
      wanted.user !== before.user && enlighten(wanted.user),
      (wanted.item !== before.item || wanted.tag !== before.tag) && hold(wanted),
    ]);
    return "Disk";
  }

  function address(changes) {
    const { user, item, tag, colour } = state;
    const all = { user, item, tag, colour: colour === plain ? null : colour, ...changes };
    const found = Object.entries(all).filter(([, value]) => value !== null);
    return found.length ? to.disk(Object.fromEntries(found)) : "#/disk";
  }

  function go(changes) {
    location.hash = address(changes);
  }

  function pick(mark) {
    if (!mark) return state.item || state.tag ? go({ item: null, tag: null }) : undefined;
    const id = (mark.kind === "tag" ? data.tags : data.items).id[mark.index];
    go(mark.kind === "tag" ? { tag: id, item: null } : { item: id, tag: null });
  }

  function pointed(mark, where, by) {
    tip.hidden = !mark;
    if (!mark) return;
    fill(tip, words(mark, data, state.lit));
    const half = tip.offsetWidth / 2;
    const across = Math.min(stage.clientWidth - half - 4, Math.max(half + 4, where.x));
    tip.style.insetInlineStart = `${across}px`;
    tip.style.insetBlockStart = `${where.y < 70 ? where.y + 22 : where.y - tip.offsetHeight - 14}px`;
    if (by === "keys") fill(heard, `In the middle: ${[...tip.children].map((part) => part.textContent).join(", ")}`);
  }

  async function enlighten(user) {
    if (user === null) {
      state.lit = null;
      disk.light({ history: [], recommended: [], user: null });
      fill(lit, el("p", { class: "soft" }, UNLIT));
      return;
    }
    fill(lit, waiting(4));
    try {
      const [{ history: past }, { items: next }, own] = await Promise.all([
        api.user(user, { signal }),
        api.recommend({ user, k: LIT }, { signal }),
        api.place(user, { signal }).catch(() => null),
      ]);
      if (state.user !== user) return;
      state.lit = { history: drawn(past), recommended: drawn(next) };
      disk.light({ ...state.lit, user: own && { x: own.x, y: own.y } });
      fill(lit, litList({ user, past, next, own, entry, out: () => go({ user: null }) }));
    } catch (error) {
      const again = () => enlighten(user);
      if (!signal.aborted && state.user === user) fill(lit, failed(error, again));
    }
  }

  /** The numbers of those items that are drawn. */
  function drawn(items) {
    return items.map((item) => rows.item.get(item.item_id)).filter((row) => row !== undefined);
  }

  function entry(item) {
    const row = rows.item.get(item.item_id);
    const light = (on) => row !== undefined && disk.pointTo(on ? { kind: "item", index: row } : null, "list");
    const line = link(address({ item: item.item_id, tag: null }), name(item), {
      onpointerenter: () => light(true),
      onpointerleave: () => light(false),
      onfocus: () => light(true),
      onblur: () => light(false),
    });
    return el("li", {}, line, row === undefined ? el("span", { class: "soft" }, " (not drawn)") : null);
  }

  async function hold({ item, tag }) {
    const kind = item ? "item" : "tag";
    const id = item ?? tag;
    const row = id === null ? undefined : rows[kind].get(id);
    const mark = row === undefined ? null : { kind, index: row };
    disk.light({ focus: mark });
    if (id === null) return fill(picked);
    if (mark && away(disk, mark)) disk.centre(disk.point(mark));
    fill(picked, waiting(3));
    try {
      const about =
        kind === "item" ? aboutItem(await api.item(id, { signal })) : aboutTag(await api.tag(id, { signal }));
      if (state[kind] === id) fill(picked, card(about, mark));
    } catch (error) {
      if (!signal.aborted && state[kind] === id)
        fill(
          picked,
          failed(error, () => hold({ item, tag })),
        );
    }
  }

  function card(about, mark) {
    const centre = mark
      ? el("button", { type: "button", onclick: () => disk.centre(disk.point(mark)) }, "Centre it")
      : el("p", { class: "soft" }, "It is not among those that are drawn.");
    const close = el("button", { type: "button", class: "quiet", onclick: () => pick(null) }, "Close");
    return el("div", { class: "card" }, about, el("div", { class: "row" }, centre, close));
  }
}

/** The places of the view. */
function frame(root) {
  const canvas = el("canvas", {
    tabindex: "0",
    role: "application",
    "aria-label": "The catalogue on the Poincaré disk",
    "aria-describedby": "disk-help",
  });
  const tip = el("div", { class: "tip", hidden: true, "aria-hidden": "true" });
  const heard = el("p", { class: "said", role: "status" });
  const picked = el("section", { class: "picked", "aria-live": "polite" });
  const who = el("section");
  const loading = el("div", { class: "wait-disk" }, waiting(1, "Loading the disk …"));
  const stage = el("div", { class: "stage" }, canvas, tip, loading);
  const help = el("p", { class: "soft", id: "disk-help" }, HELP);
  const aside = el("aside", {}, picked, who);
  fill(
    root,
    el("div", { class: "heading" }, el("h1", {}, "The catalogue on the Poincaré disk")),
    el("div", { class: "atlas" }, el("div", { class: "canvas-side" }, stage, heard, help), aside),
  );
  return { canvas, tip, heard, picked, who, stage, aside };
}

function userField(choose) {
  const find = async (text, signal) => (await api.users(text, 8, { signal })).users.map(option);
  const option = (user) => ({
    group: "Users",
    text: `User ${user.user_id}`,
    detail: plural(user.clicks, "click"),
    value: user.user_id,
  });
  return combobox({ label: "Light up a user", hint: "a user's id", find, choose: ({ value }) => choose(value) }).box;
}

function buttons(disk) {
  const button = (text, label, act) =>
    el("button", { type: "button", "aria-label": label, title: label, onclick: act }, text);
  return el(
    "div",
    { class: "zoomer", role: "group", "aria-label": "Zoom" },
    button("+", "Zoom in", () => disk.zoom(1.5)),
    button("−", "Zoom out", () => disk.zoom(1 / 1.5)),
    button("⟲", "Start over", () => disk.reset()),
  );
}

const index = (ids) => new Map(ids.map((id, row) => [id, row]));

/** Whether a mark is out of sight or squeezed at the rim. */
function away(disk, mark) {
  const { x, y } = disk.pixel(disk.point(mark));
  const seen = disk.under({ x, y });
  return x < 20 || y < 20 || x > disk.width - 20 || y > disk.height - 20 || Math.hypot(seen.x, seen.y) > 0.93;
}
