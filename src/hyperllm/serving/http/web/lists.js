// Items as cards and lines.
//
// Knows what of an item is read at a glance: place, title, brand, category path, score, the reason in one line. The
// whole reason opens inside the card. Does not know where a list came from.

import { bar, el, link } from "./dom.js";
import { explanation } from "./explain.js";
import { name, number, path, to } from "./format.js";

/** Brand and where the item stands in the shop, in one line. */
export function meta(item) {
  const categories = item.categories ?? [];
  if (!item.brand && !categories.length) return null;
  return el(
    "p",
    { class: "meta" },
    item.brand ? el("span", { class: "maker" }, item.brand) : null,
    categories.length ? el("span", {}, path(categories)) : null,
  );
}

/** An ordered list of cards. `why(entry)` gives an explanation where the entry brought none; without it there is none. */
export function cards(entries, { why = null, open = null, opened = () => undefined, seen = new Set() } = {}) {
  const scores = entries.map((entry) => entry.score);
  const best = Math.max(...scores),
    worst = Math.min(...scores);
  const share = (score) => (best > worst ? 0.12 + (0.88 * (score - worst)) / (best - worst) : 1);
  return el(
    "ol",
    { class: "plain cards" },
    entries.map((entry) => card(entry, share(entry.score), { why, open, opened, seen })),
  );
}

function card(entry, share, { why, open, opened, seen }) {
  const title = el("h3", {}, link(to.item(entry.item_id), name(entry)));
  if (seen.has(entry.item_id)) title.append(" ", el("span", { class: "badge" }, "in the history"));
  const node = el(
    "li",
    { class: "card entry", "data-item": entry.item_id },
    el("span", { class: "rank", "aria-label": `Place ${entry.rank}` }, String(entry.rank)),
    el("div", { class: "body" }, title, meta(entry), entry.reasons ? reason(entry.reasons) : null),
    el(
      "div",
      { class: "score", title: "The bar compares scores within this list" },
      el("span", { class: "digits" }, el("span", { class: "said" }, "Score "), number(entry.score)),
      bar(share),
    ),
  );
  if (why) node.append(toggle(entry, { why, open, opened }));
  return node;
}

function reason(reasons) {
  const nearest = reasons.nearest?.[0];
  if (!reasons.path?.length && !nearest) return null;
  return el(
    "p",
    { class: "why" },
    reasons.path?.length ? el("span", { class: "path" }, path(reasons.path)) : null,
    nearest
      ? el(
          "span",
          {},
          reasons.path?.length ? " because of " : "Because of ",
          el("span", { class: "cause" }, name(nearest)),
        )
      : null,
  );
}

function toggle(entry, { why, open, opened }) {
  const panel = el("div", { class: "explanation", hidden: true });
  const button = el(
    "button",
    { type: "button", class: "quiet ask", "aria-expanded": "false", onclick: () => turn(panel.hidden) },
    "Why this?",
  );
  let asked = false;
  async function turn(wanted) {
    panel.hidden = !wanted;
    button.setAttribute("aria-expanded", String(wanted));
    opened(wanted ? entry.item_id : null);
    if (!wanted || asked) return;
    asked = true;
    asked = await explanation(panel, () => entry.reasons ?? why(entry));
  }
  if (open === entry.item_id) turn(true);
  return el("div", { class: "more" }, button, panel);
}

/** A list of items by title, `first` of them until the rest is asked for. */
export function lines(items, first = 8) {
  const list = el(
    "ul",
    { class: "plain lines" },
    items.map((item, place) =>
      el(
        "li",
        { hidden: place >= first },
        el("span", {}, link(to.item(item.item_id), name(item)), el("span", { class: "under" }, under(item))),
      ),
    ),
  );
  if (items.length <= first) return list;
  const button = el(
    "button",
    {
      type: "button",
      class: "quiet",
      onclick: () => {
        for (const each of list.children) each.hidden = false;
        const next = list.children[first]?.querySelector("a");
        button.remove();
        next?.focus();
      },
    },
    `Show all ${items.length}`,
  );
  return el("div", {}, list, button);
}

const under = (item) => [item.brand, path((item.categories ?? []).slice(-1))].filter(Boolean).join(" · ");

/** Tags as links, broad before specific. */
export function pills(tags) {
  const kinds = { 1: "broad", 2: "middle", 3: "specific" };
  return el(
    "ul",
    { class: "plain pills" },
    tags.map((tag) =>
      el(
        "li",
        {},
        link(to.tag(tag.tag_id), tag.name, {
          class: ["pill", `level-${tag.level ?? 0}`],
          title: kinds[tag.level] ?? "level unknown",
        }),
      ),
    ),
  );
}
