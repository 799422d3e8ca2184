// An item: what it is, its tags, what lies near it, and where it lies.
//
// Knows one item's view. Does not know how cards or the disk are drawn.

import * as api from "./api.js";
import { Disk } from "./disk.js";
import { el, empty, failed, fill, link, waiting } from "./dom.js";
import { searchField } from "./find.js";
import { count, name, number, path, to } from "./format.js";
import { cards, meta, pills } from "./lists.js";

const NEAR = 12;

/** Draws the view of item `id`. */
export async function show(root, { id, signal }) {
  const near = el("div", {}, waiting(5, "Looking around …"));
  const lies = el("div", { class: "small-disk" }, waiting(3));
  const found = await api.item(id, { signal });
  fill(
    root,
    searchField(),
    el("div", { class: "heading" }, el("h1", { class: name(found).length > 70 && "long" }, name(found)), meta(found)),
    el(
      "div",
      { class: "sides" },
      el(
        "aside",
        {},
        facts(found),
        el("section", {}, el("h2", {}, "Tags"), found.tags?.length ? pills(found.tags) : empty("It carries no tags.")),
        el("section", {}, el("h2", {}, "Where it lies"), lies),
      ),
      el(
        "section",
        { class: "list" },
        found.description
          ? el("div", { class: "description" }, el("h2", {}, "Description"), el("p", {}, found.description))
          : null,
        el("h2", {}, "Similar items"),
        near,
      ),
    ),
  );
  await Promise.all([similar(near, id, signal), where(lies, found, signal)]);
  return { title: name(found) };
}

function facts(item) {
  const rows = [
    ["Id", item.item_id],
    ["Brand", item.brand],
    ["Category", path(item.categories ?? [])],
    ["Clicks", count(item.clicks)],
    ["Radius", item.radius === null || item.radius === undefined ? null : `${number(item.radius, 2)} (broad near 0)`],
    ["Added", item.added ? "after training, placed by its text" : null],
  ];
  return el(
    "dl",
    { class: "facts card" },
    rows.filter(([, value]) => value).map(([key, value]) => [el("dt", {}, key), el("dd", {}, value)]),
  );
}

async function similar(box, id, signal) {
  try {
    const { items } = await api.similar(id, NEAR, { signal });
    fill(box, items.length ? cards(items) : empty("Nothing else is there."));
  } catch (error) {
    if (!signal.aborted)
      fill(
        box,
        failed(error, () => similar(box, id, signal)),
      );
  }
}

async function where(box, item, signal) {
  try {
    const data = await api.disk({ signal });
    const at = data.items.id.indexOf(item.item_id);
    if (at < 0) return fill(box, empty("It is not among the most clicked items that are drawn."));
    const canvas = el("canvas", {
      tabindex: "0",
      role: "img",
      "aria-label": `${name(item)} among ${data.items.id.length} items on the Poincaré disk`,
    });
    fill(box, canvas, el("p", { class: "soft" }, link(to.disk({ item: item.item_id }), "Open on the disk")));
    const disk = new Disk(canvas, { quiet: true, signal });
    disk.load(data);
    disk.light({ focus: { kind: "item", index: at } });
  } catch (error) {
    if (!signal.aborted)
      fill(
        box,
        failed(error, () => where(box, item, signal)),
      );
  }
}
