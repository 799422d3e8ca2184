// What is said of one mark of the disk: in a tooltip, in a card, in the list of what is lit.
//
// Knows items, tags and a user's lists. Does not know where marks are drawn, nor addresses: those are given.

import { el, link } from "./dom.js";
import { name, path, plural, to } from "./format.js";
import { meta, pills } from "./lists.js";

/** Title and kind of a mark { kind, index } in the answer of `GET /disk`; `lit` are a user's lists, or null. */
export function words({ kind, index }, data, lit) {
  if (kind === "tag") {
    const carried = `tag on ${plural(data.tags.items[index], "item")}`;
    return [el("strong", {}, data.tags.name[index]), el("span", {}, carried)];
  }
  const title = data.items.title[index] || `Item ${data.items.id[index]}`;
  const part = place(index, lit) ?? data.categories[data.items.category[index]];
  return [el("strong", {}, title), part ? el("span", {}, part) : null];
}

function place(index, lit) {
  const rank = lit ? lit.recommended.indexOf(index) : -1;
  if (rank >= 0) return `recommendation ${rank + 1}`;
  return lit?.history.includes(index) ? "in the history" : null;
}

/** What a picked item says. */
export const aboutItem = (item) => [
  el("h2", {}, link(to.item(item.item_id), name(item))),
  meta(item),
  item.tags?.length ? pills(item.tags.slice(0, 12)) : null,
];

/** What a picked tag says. */
export function aboutTag(tag) {
  const level = tag.level ? `Tag, level ${tag.level}` : "Tag";
  const above = tag.parents.length ? ` · below ${path(tag.parents.map((each) => each.name))}` : "";
  const items = tag.items.slice(0, 5).map((item) => el("li", {}, link(to.item(item.item_id), name(item))));
  return [
    el("h2", {}, link(to.tag(tag.tag_id), tag.name)),
    el("p", { class: "soft" }, level + above),
    el("p", {}, `${plural(tag.children.length, "narrower tag")}.`),
    el("ul", { class: "marked" }, items),
  ];
}

/** The list of what is lit of `user`. `entry(item)` is one line of it; `out` puts the light out. */
export function litList({ user, past, next, own, entry, out }) {
  const mark = (kind) => el("span", { class: ["lit-mark", kind], "aria-hidden": "true" });
  const nowhere = own ? null : el("span", { class: "soft" }, " has no place on the disk");
  const part = (kind, heading, open, list) => el("details", { open }, el("summary", {}, mark(kind), heading), list);
  return [
    el(
      "div",
      { class: "line" },
      el("p", {}, mark("own"), link(to.user(user), `User ${user}`), nowhere),
      el("button", { type: "button", class: "quiet", onclick: out }, "Put out"),
    ),
    part("next", `Recommendations, ${next.length}`, true, el("ol", { class: "marked" }, next.map(entry))),
    part(
      "past",
      `History, ${past.length}`,
      past.length <= 8,
      el("ul", { class: ["marked", past.length > 12 && "many"] }, past.map(entry)),
    ),
  ];
}
