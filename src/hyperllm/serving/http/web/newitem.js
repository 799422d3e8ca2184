// A new item: written here, placed at once, kept on request.
//
// Knows the form, that a pause in typing shows where the item would lie (and that the server forgets it again), and that
// "Keep" adds it to the model. Does not know how an item is placed.

import * as api from "./api.js";
import { Disk } from "./disk.js";
import { after, el, empty, failed, fill, link, waiting } from "./dom.js";
import { name, number, to } from "./format.js";
import { pills } from "./lists.js";

const PAUSE_MS = 450;
const MARK = "preview";

/** Draws the view. */
export async function show(root, { signal }) {
  const salt = Math.random().toString(36).slice(2, 6);
  const fields = form();
  const result = el("div", { "aria-live": "polite" }),
    said = el("p", { role: "status", class: "soft" });
  const keep = el("button", { type: "submit", class: "main", disabled: true }, "Keep this item");
  const canvas = el("canvas", {
    tabindex: "0",
    role: "img",
    "aria-label": "Where the new item lies on the Poincaré disk",
  });
  const lies = el("section", { class: "small-disk", hidden: true }, el("h2", {}, "Where it lies"), canvas);
  let asked = null,
    own = false,
    disk = null;
  fill(
    root,
    el(
      "div",
      { class: "heading" },
      el("h1", {}, "Place a new item"),
      el(
        "p",
        { class: "soft" },
        "Nobody has clicked it yet; its words and category are enough to find its place. Nothing is stored until you keep it.",
      ),
    ),
    el(
      "div",
      { class: "halves" },
      el("form", { class: "card new-item", onsubmit: keepIt }, fields.all, el("div", { class: "row" }, keep), said),
      el("div", { class: "placed" }, result, lies),
    ),
  );
  blank();
  const preview = after(PAUSE_MS, draw);
  for (const input of Object.values(fields.inputs)) {
    input.addEventListener("input", () => {
      if (input === fields.inputs.item_id) own = input.value.trim() !== "";
      else if (!own) fields.inputs.item_id.value = slug(fields.inputs.title.value, salt);
      keep.disabled = !fields.inputs.title.value.trim();
      fill(said);
      preview();
    });
  }
  return { title: "New item" };

  function written() {
    const text = (part) => fields.inputs[part].value.trim();
    const categories = text("categories")
      .split(/\s*[>›]\s*/)
      .filter(Boolean);
    const parts = {
      item_id: text("item_id"),
      title: text("title"),
      description: text("description"),
      brand: text("brand"),
    };
    const made = Object.fromEntries(Object.entries(parts).filter(([, value]) => value));
    return categories.length ? { ...made, categories } : made;
  }

  async function draw() {
    asked?.abort();
    const made = written();
    if (!made.title) return blank();
    asked = new AbortController();
    const mine = AbortSignal.any([signal, asked.signal]);
    result.setAttribute("aria-busy", "true");
    if (!result.childElementCount || result.querySelector(".empty")) fill(result, waiting(5, "Placing it …"));
    try {
      const {
        items: [placed],
      } = await api.add({ ...made, item_id: `${MARK}-${salt}` }, false, { signal: mine });
      await tell(placed);
    } catch (error) {
      if (!mine.aborted) fill(result, failed(error, draw));
    }
    if (!mine.aborted) result.removeAttribute("aria-busy");
  }

  async function keepIt(event) {
    event.preventDefault();
    const made = written();
    if (!made.title || keep.disabled) return;
    asked?.abort();
    keep.disabled = true;
    fill(said, "Keeping it …");
    try {
      const {
        items: [placed],
      } = await api.add({ ...made, item_id: made.item_id ?? slug(made.title, salt) }, true, { signal });
      fill(said, "Kept. It can be recommended from now on: ", link(to.item(placed.item_id), name(placed)), ".");
      await tell(placed);
    } catch (error) {
      if (signal.aborted) return;
      keep.disabled = false;
      fill(
        said,
        el(
          "span",
          { class: "wrong" },
          error.status === 409 ? "There is an item with this id already; choose another id." : error.message,
        ),
      );
    }
  }

  function blank() {
    lies.hidden = true;
    fill(result, empty("Write a title, and its tags, its neighbours and its place appear here."));
  }

  async function tell(placed) {
    placed.near.sort((a, b) => b.similarity - a.similarity);
    fill(
      result,
      placed.note ? el("p", { class: "note-line" }, placed.note) : null,
      el(
        "section",
        {},
        el("h2", {}, "Tags"),
        placed.tags.length ? pills(placed.tags) : el("p", { class: "soft" }, "No tag fits."),
      ),
      el(
        "section",
        {},
        el("div", { class: "line" }, el("h2", {}, "Nearest items"), el("span", { class: "soft" }, "similarity")),
        placed.near.length
          ? el(
              "ol",
              { class: "plain lines" },
              placed.near.map((item) =>
                el(
                  "li",
                  {},
                  link(to.item(item.item_id), name(item)),
                  el("span", { class: "end" }, number(item.similarity)),
                ),
              ),
            )
          : el("p", { class: "soft" }, "Nothing is near."),
      ),
    );
    if (Number.isFinite(placed.x) && Number.isFinite(placed.y)) await draws(placed);
  }

  async function draws(placed) {
    lies.hidden = false;
    if (!disk) {
      disk = new Disk(canvas, { quiet: true, signal });
      disk.load(await api.disk({ signal }));
    }
    const rows = placed.near.map((item) => disk.data.items.id.indexOf(item.item_id)).filter((row) => row >= 0);
    disk.light({ guest: { x: placed.x, y: placed.y }, recommended: rows });
    canvas.setAttribute(
      "aria-label",
      `The new item at radius ${number(placed.radius, 2)} on the Poincaré disk, its ${rows.length} nearest items marked`,
    );
  }
}

function form() {
  const inputs = {};
  const line = (key, label, hint, more = {}) => {
    const { kind = "input", note = "", ...rest } = more;
    if (kind === "input") rest.type = "text";
    inputs[key] = el(kind, {
      id: `new-${key}`,
      name: key,
      placeholder: hint,
      autocomplete: "off",
      "aria-describedby": note ? `new-${key}-note` : null,
      ...rest,
    });
    return el(
      "div",
      { class: "field" },
      el("label", { for: `new-${key}` }, label),
      inputs[key],
      note ? el("p", { class: "soft", id: `new-${key}-note` }, note) : null,
    );
  };
  const all = [
    line("title", "Title", "Argan oil shampoo for dry hair, 12 oz", { required: true, maxlength: 500 }),
    line("description", "Description", "What it is and what it is for", { kind: "textarea", rows: 4, maxlength: 5000 }),
    line("brand", "Brand", "who makes it", { maxlength: 200 }),
    line("categories", "Category path", "Beauty > Hair Care > Shampoos", {
      note: "Broad to specific, with > between.",
      maxlength: 500,
    }),
    line("item_id", "Id", "made from the title", {
      note: "Under this id it is kept.",
      maxlength: 200,
      spellcheck: "false",
    }),
  ];
  return { all, inputs };
}

/** "Argan Oil Shampoo" -> "argan-oil-shampoo-x3f9" */
function slug(title, salt) {
  const words =
    title
      .normalize("NFKD")
      .toLowerCase()
      .match(/[a-z0-9]+/g) ?? [];
  return title.trim() ? `${words.slice(0, 5).join("-") || "item"}-${salt}` : "";
}
