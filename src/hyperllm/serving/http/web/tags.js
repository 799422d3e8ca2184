// The tags: a tree to open, a search, and what one tag says.
//
// Knows broad and narrow tags and that #/tags/ID is a tag. Does not know how a tree is worked with keys.

import * as api from "./api.js";
import { after, el, empty, failed, fill, link, waiting } from "./dom.js";
import { count, plural, to } from "./format.js";
import { lines, pills } from "./lists.js";
import { tree } from "./tree.js";

const MOST = 200;
const KINDS = { 1: "level 1, broad", 2: "level 2", 3: "level 3, specific" };

/** Draws the view; `id` is the tag in the address, if any. */
export async function show(root, { id, params, signal, keep }) {
  const held = el("div", { class: "branches" }, waiting(8));
  const panel = el("section", { class: "tag-panel", "aria-live": "polite" });
  const field = el("input", {
    type: "search",
    id: "tag-search",
    value: params.get("q") ?? "",
    placeholder: "a word of a tag",
    autocomplete: "off",
    spellcheck: "false",
  });
  let shown = null,
    asked = null;
  fill(
    root,
    el(
      "div",
      { class: "heading" },
      el("h1", {}, "Tags, from broad to specific"),
      el(
        "p",
        { class: "soft" },
        "Widest first; the number says how many items carry a tag. Open a branch with → and take a tag with Enter.",
      ),
    ),
    el(
      "div",
      { class: "tag-sides" },
      el(
        "section",
        { class: "card" },
        el("div", { class: "field" }, el("label", { for: "tag-search" }, "Search tags"), field),
        held,
      ),
      panel,
    ),
  );
  field.addEventListener(
    "input",
    after(180, () => {
      keep(new URLSearchParams(field.value.trim() ? { q: field.value.trim() } : {}));
      draw();
    }),
  );
  await Promise.all([draw(), detail(id)]);
  return { title: await named(), update };

  async function update(place) {
    const wanted = place.params.get("q") ?? "";
    if (!place.id && wanted !== field.value.trim()) {
      field.value = wanted;
      await draw();
    }
    await detail(place.id);
    return named();
  }

  function named() {
    return panel.dataset.name ? `Tag ${panel.dataset.name}` : "Tags";
  }

  async function draw() {
    asked?.abort();
    asked = new AbortController();
    const mine = AbortSignal.any([signal, asked.signal]);
    const wanted = field.value.trim();
    try {
      const found = (await api.tags(wanted ? { query: wanted, limit: MOST } : { limit: MOST }, { signal: mine })).tags;
      shown = tree({
        label: wanted ? `Tags with ${wanted}` : "Tags",
        roots: found.map(node),
        choose: (tag) => (location.hash = to.tag(tag)),
        children: async (tag) => (await api.tags({ parent: tag, limit: MOST }, { signal })).tags.map(node),
      });
      shown.mark(panel.dataset.id ?? id);
      const note =
        found.length >= MOST
          ? el("p", { class: "soft" }, `The ${MOST} widest are listed; search for the others.`)
          : null;
      fill(
        held,
        found.length ? [shown.root, note] : empty(wanted ? `No tag holds “${wanted}”.` : "This model has no tags."),
      );
      const only = shown.root.children;
      if (!wanted && only.length === 1) shown.open(only[0]);
    } catch (error) {
      if (!mine.aborted) fill(held, failed(error, draw));
    }
  }

  async function detail(tag) {
    panel.dataset.id = tag;
    panel.dataset.name = "";
    shown?.mark(tag);
    if (!tag)
      return fill(panel, empty("Choose a tag to see its parents, its narrower tags and the items that carry it."));
    fill(panel, waiting(6));
    try {
      const found = await api.tag(tag, { signal });
      if (panel.dataset.id !== tag) return;
      panel.dataset.name = found.name;
      fill(panel, about(found));
    } catch (error) {
      if (!signal.aborted)
        fill(
          panel,
          failed(error, () => detail(tag)),
        );
    }
  }
}

const node = (tag) => ({
  id: tag.tag_id,
  text: tag.name,
  detail: count(tag.items),
  kind: `level-${tag.level ?? 0}`,
  many: tag.children > 0,
});

function about(tag) {
  const section = (heading, list, none) =>
    el("section", {}, el("h3", {}, heading), list.length ? pills(list) : el("p", { class: "soft" }, none));
  return [
    el(
      "div",
      { class: "heading" },
      el("h2", {}, tag.name),
      el(
        "p",
        { class: "soft" },
        [KINDS[tag.level] ?? "level unknown", link(to.disk({ tag: tag.tag_id }), "See on the disk")].flatMap(
          (part, at) => (at ? [" · ", part] : [part]),
        ),
      ),
    ),
    section("Broader", tag.parents, "Nothing is broader."),
    section("Narrower", folded(tag.children), "Nothing is narrower."),
    tag.children.length > 40
      ? el("p", { class: "soft" }, `and ${plural(tag.children.length - 40, "more tag")}, in the tree`)
      : null,
    el(
      "section",
      {},
      el("h3", {}, "Its most clicked items"),
      tag.items.length ? lines(tag.items, 12) : el("p", { class: "soft" }, "No item carries it directly."),
    ),
  ];
}

const folded = (children) => children.slice(0, 40);
