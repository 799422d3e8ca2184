// The view of the disk: the picture, its legend, who is lit up, and what was picked.
//
// Knows which user, item or tag the address names (#/disk?user=5&item=12&colour=level) and keeps a list of everything
// that is lit, with the same links, for those who do not see the picture. Does not know drawing or geometry.

import * as api from "./api.js";
import { Disk } from "./disk.js";
import { el, failed, fill, link, set, waiting } from "./dom.js";
import { count, name, path, plural, to } from "./format.js";
import { meta, pills } from "./lists.js";
import { colourOf } from "./palette.js";
import { combobox } from "./search.js";

const LIT = 10;
const COLOURS = { category: "category", level: "tag level" };
const HELP = "Drag to move, wheel or pinch to zoom, double click to centre, click for details. Keys: arrows, + and −, 0 to start over, Enter for what is in the middle.";

/** Draws the view. */
export async function show(root, place) {
  const { signal } = place;
  const canvas = el("canvas", { tabindex: "0", role: "application", "aria-label": "The catalogue on the Poincaré disk", "aria-describedby": "disk-help" });
  const tip = el("div", { class: "tip", hidden: true, "aria-hidden": "true" });
  const heard = el("p", { class: "said", role: "status" });
  const legend = el("div", { class: "legend" }), picked = el("section", { class: "picked", "aria-live": "polite" }), who = el("section", { class: "who" });
  const stage = el("div", { class: "stage" }, canvas, tip, el("div", { class: "wait-disk" }, waiting(1, "Loading the disk …")));
  const choice = el("fieldset", { class: "colouring" }, el("legend", {}, "Colour by"));
  fill(
    root,
    el("div", { class: "heading" }, el("h1", {}, "The catalogue on the Poincaré disk")),
    el("div", { class: "atlas" }, el("div", { class: "canvas-side" }, stage, heard, el("p", { class: "soft", id: "disk-help" }, HELP)), el("aside", {}, picked, who, el("section", { class: "keyed" }, choice, legend))),
  );
  const state = { user: null, item: null, tag: null, colour: null, data: null, rows: null, lit: null };
  const disk = new Disk(canvas, { signal, picked: pick, pointed });
  stage.append(buttons(disk));
  const data = await api.disk({ signal });
  stage.querySelector(".wait-disk").remove();
  state.data = data;
  state.rows = { item: index(data.items.id), tag: index(data.tags.id) };
  disk.load(data);
  chooseColour();
  searchUser();
  await update(place);
  return { title: "Disk", update };

  async function update({ params }) {
    const wanted = Object.fromEntries(["user", "item", "tag", "colour"].map((key) => [key, params.get(key)]));
    const colour = wanted.colour in COLOURS ? wanted.colour : plain();
    if (colour !== state.colour) recolour(colour);
    const jobs = [];
    if (wanted.user !== state.user) jobs.push(enlighten(wanted.user));
    if (wanted.item !== state.item || wanted.tag !== state.tag) jobs.push(hold(wanted));
    Object.assign(state, wanted, { colour });
    await Promise.all(jobs);
    return "Disk";
  }

  function address(changes) {
    const all = { user: state.user, item: state.item, tag: state.tag, colour: state.colour === plain() ? null : state.colour, ...changes };
    const found = Object.entries(all).filter(([, value]) => value !== null);
    return found.length ? to.disk(Object.fromEntries(found)) : "#/disk";
  }

  /** What is coloured by where the address says nothing: categories, if there are any. */
  function plain() {
    return data.categories.length ? "category" : "level";
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
    const half = tip.offsetWidth / 2, room = stage.clientWidth;
    tip.style.insetInlineStart = `${Math.min(room - half - 4, Math.max(half + 4, where.x))}px`;
    tip.style.insetBlockStart = `${where.y < 70 ? where.y + 22 : where.y - tip.offsetHeight - 14}px`;
    if (by === "keys") fill(heard, `In the middle: ${tip.textContent}`);
  }

  function chooseColour() {
    choice.append(...Object.entries(COLOURS).map(([key, text]) => el("label", { class: "radio" },
      el("input", { type: "radio", name: "colour", value: key, onchange: () => go({ colour: key === plain() ? null : key }) }), text)));
  }

  function recolour(by) {
    for (const input of choice.querySelectorAll("input")) input.checked = input.value === by;
    disk.colour(by);
    drawLegend();
  }

  function drawLegend() {
    const lines = disk.groups.map((group) => {
      const swatch = el("span", { class: ["swatch", group.kind === "tags" && "square"] });
      const tint = () => (swatch.style.backgroundColor = colourOf(group, disk.colours));
      tint();
      swatch.tint = tint;
      const button = el("button", { type: "button", class: "key", "aria-pressed": "true", title: "Show or hide", onclick: () => {
        const shown = button.getAttribute("aria-pressed") !== "true";
        set(button, { "aria-pressed": String(shown) });
        disk.show(group.key, shown);
      } }, swatch, el("span", { class: "text" }, group.name), el("span", { class: "detail" }, count(group.count)));
      return el("li", {}, button);
    });
    fill(legend, el("ul", { class: "plain", "aria-label": "Legend; press to show or hide" }, lines));
  }

  function searchUser() {
    const { box } = combobox({
      label: "Light up a user", hint: "a user's id", choose: (option) => go({ user: option.value }),
      find: async (text, stop) => (await api.users(text, 8, { signal: stop })).users.map((user) => ({
        group: "Users", text: `User ${user.user_id}`, detail: plural(user.clicks, "click"), value: user.user_id })),
    });
    who.append(box, el("div", { class: "lit" }));
  }

  async function enlighten(user) {
    const box = who.querySelector(".lit");
    if (user === null) {
      state.lit = null;
      disk.light({ history: [], recommended: [], user: null });
      return fill(box, el("p", { class: "soft" }, "History, recommendations and the user's own place are then drawn above all others."));
    }
    fill(box, waiting(4));
    try {
      const [past, next, own] = await Promise.all([
        api.user(user, { signal }), api.recommend({ user, k: LIT }, { signal }), api.place(user, { signal }).catch(() => null),
      ]);
      const rows = (items) => items.map((item) => state.rows.item.get(item.item_id)).filter((row) => row !== undefined);
      state.lit = { history: rows(past.history), recommended: rows(next.items) };
      disk.light({ ...state.lit, user: own && { x: own.x, y: own.y } });
      fill(box, litList(user, past.history, next.items, own));
    } catch (error) {
      if (!signal.aborted) fill(box, failed(error, () => enlighten(user)));
    }
  }

  function litList(user, past, next, own) {
    const entry = (item) => {
      const row = state.rows.item.get(item.item_id);
      const light = (on) => row !== undefined && disk.pointTo(on ? { kind: "item", index: row } : null, "list");
      return el("li", {}, link(address({ user, item: item.item_id, tag: null }), name(item), {
        onpointerenter: () => light(true), onpointerleave: () => light(false), onfocus: () => light(true), onblur: () => light(false),
      }), row === undefined ? el("span", { class: "soft" }, " (not drawn)") : null);
    };
    const mark = (kind) => el("span", { class: ["lit-mark", kind], "aria-hidden": "true" });
    return [
      el("div", { class: "line" }, el("p", {}, mark("own"), link(to.user(user), `User ${user}`), own ? null : el("span", { class: "soft" }, " has no place on the disk")),
        el("button", { type: "button", class: "quiet", onclick: () => go({ user: null }) }, "Put out")),
      el("details", { open: true }, el("summary", {}, mark("next"), `Recommendations, ${next.length}`), el("ol", { class: "marked" }, next.map(entry))),
      el("details", { open: past.length <= 8 }, el("summary", {}, mark("past"), `History, ${past.length}`), el("ul", { class: ["marked", past.length > 12 && "many"] }, past.map(entry))),
    ];
  }

  async function hold({ item, tag }) {
    const kind = item ? "item" : "tag", id = item ?? tag;
    if (id === null) {
      disk.light({ focus: null });
      return fill(picked);
    }
    const row = state.rows[kind].get(id);
    disk.light({ focus: row === undefined ? null : { kind, index: row } });
    if (row !== undefined && away(disk, { kind, index: row })) disk.centre(disk.point({ kind, index: row }));
    fill(picked, waiting(3));
    try {
      const told = kind === "item" ? aboutItem(await api.item(id, { signal })) : aboutTag(await api.tag(id, { signal }));
      const again = row === undefined ? el("p", { class: "soft" }, "It is not among those that are drawn.")
        : el("button", { type: "button", onclick: () => disk.centre(disk.point({ kind, index: row })) }, "Centre it");
      fill(picked, el("div", { class: "card" }, told, el("div", { class: "row" }, again, el("button", { type: "button", class: "quiet", onclick: () => pick(null) }, "Close"))));
    } catch (error) {
      if (!signal.aborted) fill(picked, failed(error, () => hold({ item, tag })));
    }
  }
}

const index = (ids) => new Map(ids.map((id, row) => [id, row]));

/** Whether a mark is out of sight or squeezed at the rim. */
function away(disk, mark) {
  const { x, y } = disk.pixel(disk.point(mark));
  const seen = disk.under({ x, y });
  return x < 20 || y < 20 || x > disk.width - 20 || y > disk.height - 20 || Math.hypot(seen.x, seen.y) > 0.93;
}

function words({ kind, index: row }, data, lit) {
  if (kind === "tag") return [el("strong", {}, data.tags.name[row]), el("span", {}, `tag on ${plural(data.tags.items[row], "item")}`)];
  const rank = lit ? lit.recommended.indexOf(row) : -1;
  const part = rank >= 0 ? `recommendation ${rank + 1}` : lit?.history.includes(row) ? "in the history" : data.categories[data.items.category[row]];
  return [el("strong", {}, data.items.title[row] || `Item ${data.items.id[row]}`), part ? el("span", {}, part) : null];
}

const aboutItem = (item) => [
  el("h2", {}, link(to.item(item.item_id), name(item))), meta(item), item.tags?.length ? pills(item.tags.slice(0, 12)) : null,
];

const aboutTag = (tag) => [
  el("h2", {}, link(to.tag(tag.tag_id), tag.name)),
  el("p", { class: "soft" }, [tag.level ? `Tag, level ${tag.level}` : "Tag", tag.parents.length ? `below ${path(tag.parents.map((each) => each.name))}` : null].filter(Boolean).join(" · ")),
  el("p", {}, `${plural(tag.children.length, "narrower tag")}.`),
  el("ul", { class: "marked" }, tag.items.slice(0, 5).map((item) => el("li", {}, link(to.item(item.item_id), name(item))))),
];

function buttons(disk) {
  const button = (text, label, act) => el("button", { type: "button", "aria-label": label, title: label, onclick: act }, text);
  return el("div", { class: "zoomer", role: "group", "aria-label": "Zoom" },
    button("+", "Zoom in", () => disk.zoom(1.5)), button("−", "Zoom out", () => disk.zoom(1 / 1.5)), button("⟲", "Start over", () => disk.reset()));
}
