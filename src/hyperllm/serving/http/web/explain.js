// Why an item is recommended: the path through tags, the past items that count, the parts of the score.
//
// Knows how an explanation reads. Does not know how it is computed nor when it is asked for.

import { bar, el, failed, fill, link, waiting } from "./dom.js";
import { name, number, plural, to } from "./format.js";

const PARTS = {
  hyperbolic: ["Hyperbolic", "nearness of user and item in the learned space"],
  linear: ["Linear", "items that go together in many histories"],
};

/** Fills `panel` with what `load` gives; true once it is there, false where it has to be asked for again. */
export async function explanation(panel, load) {
  try {
    const given = load();
    if (given instanceof Promise) fill(panel, waiting(3, "Looking for reasons …"));
    const told = await given;
    fill(panel, shared(told), near(told), parts(told));
    return true;
  } catch (error) {
    fill(
      panel,
      failed(error, () => explanation(panel, load)),
    );
    return false;
  }
}

function shared(told) {
  const path = told.path ?? [];
  if (!path.length)
    return block("Shared tags", el("p", { class: "soft" }, "No tag of this item is on an item of the history."));
  const items = told.path_items
    ? el(
        "p",
        { class: "soft" },
        `${plural(told.path_items, "item")} of the history ${told.path_items === 1 ? "carries" : "carry"} “${path.at(-1)}”.`,
      )
    : null;
  const steps = path.map((step) => el("li", {}, link(`#/tags?${new URLSearchParams({ q: step })}`, step)));
  return block("Shared tags, broad to specific", el("ol", { class: "plain crumbs" }, steps), items);
}

function near(told) {
  const found = told.nearest ?? [];
  if (!found.length) return block("Nearest in the history", el("p", { class: "soft" }, "The history is empty."));
  const most = Math.max(...found.map((item) => Math.abs(item.effect ?? 0)), 1e-9);
  const rows = found.map((item) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, link(to.item(item.item_id), name(item))),
      el("td", { class: "number" }, number(item.similarity)),
      el(
        "td",
        { class: "effect" },
        item.effect === null || item.effect === undefined
          ? "–"
          : [bar(Math.abs(item.effect) / most, "c1"), el("span", { class: "digits" }, number(item.effect))],
      ),
    ),
  );
  return block(
    "Nearest in the history",
    el(
      "table",
      { class: "near" },
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          el("th", { scope: "col" }, "Item"),
          el("th", { scope: "col", class: "number" }, "Similarity"),
          el("th", { scope: "col" }, "Effect"),
        ),
      ),
      el("tbody", {}, rows),
    ),
    el("p", { class: "soft" }, "Effect: how much the score falls when this item leaves the history."),
  );
}

function parts(told) {
  const found = Object.entries(told.parts ?? {}).filter(([, value]) => Number.isFinite(value));
  if (!found.length) return null;
  const below = found.reduce((sum, [, value]) => sum + Math.max(0, -value), 0);
  const above = found.reduce((sum, [, value]) => sum + Math.max(0, value), 0);
  const whole = below + above || 1;
  const ordered = [...found.filter(([, value]) => value < 0), ...found.filter(([, value]) => value >= 0)];
  const segments = ordered.map(([part, value]) => {
    const segment = el("span", { class: ["segment", part, value < 0 && "below"] });
    segment.style.inlineSize = `${(100 * Math.abs(value)) / whole}%`;
    return segment;
  });
  const legend = found.map(([part, value]) => {
    const [title, meaning] = PARTS[part] ?? [part, ""];
    return el(
      "li",
      {},
      el("span", { class: ["swatch", part] }),
      el("strong", {}, title),
      " ",
      el("span", { class: "digits" }, number(value)),
      meaning ? el("span", { class: "soft" }, ` ${meaning}`) : null,
    );
  });
  const distance =
    told.distance === null || told.distance === undefined
      ? ""
      : ` The hyperbolic distance is ${number(told.distance)}.`;
  return block(
    "Parts of the score",
    found.length > 1 ? el("div", { class: "stack", "aria-hidden": "true" }, segments) : null,
    el("ul", { class: "plain parts" }, legend),
    el(
      "p",
      { class: "soft" },
      `Score ${sum(
        told.score,
        found.map(([, value]) => value),
      )}.${distance}`,
    ),
  );
}

/** "1.036 = −2.621 + 3.656", or the score alone where it is not the sum of its parts. */
function sum(score, values) {
  const whole = values.reduce((all, value) => all + value, 0);
  if (values.length < 2 || Math.abs(whole - score) > 1e-3 * (1 + Math.abs(score))) return number(score);
  return `${number(score)} = ${values
    .map((value) => number(value))
    .join(" + ")
    .replaceAll("+ −", "− ")}`;
}

const block = (heading, ...more) => el("section", {}, el("h4", {}, heading), more);
