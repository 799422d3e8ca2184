// The knobs of a list of recommendations.
//
// Knows how many, how mixed, how broad, from where, and with or without what is known already; reads them from an
// address and writes them back. Does not know the list.

import * as api from "./api.js";
import { after, el, fill } from "./dom.js";
import { combobox } from "./search.js";

const PAUSE_MS = 160;
const KS = [5, 10, 20, 50];

/** What `GET /recommend` takes, from an address; what is not there has its default. */
export function settings(params) {
  return {
    k: whole(params.get("k"), 10, 1, 100),
    diversity: between(params.get("diversity"), 0, 1),
    breadth: between(params.get("breadth"), -1, 1),
    by: params.get("by") === "level" ? "level" : "radius",
    seen: params.get("seen") === "true",
    category: params.getAll("category"),
    tag: params.getAll("tag"),
  };
}

/** The address that gives these settings; defaults are left out. */
export function written(chosen) {
  const params = new URLSearchParams();
  if (chosen.k !== 10) params.set("k", chosen.k);
  if (chosen.diversity) params.set("diversity", chosen.diversity);
  if (chosen.breadth) params.set("breadth", chosen.breadth);
  if (chosen.by !== "radius") params.set("by", chosen.by);
  if (chosen.seen) params.set("seen", "true");
  for (const name of ["category", "tag"]) for (const each of chosen[name]) params.append(name, each);
  return params;
}

function whole(text, otherwise, low, high) {
  const found = Number.parseInt(text ?? "", 10);
  return Number.isFinite(found) ? Math.min(high, Math.max(low, found)) : otherwise;
}

function between(text, low, high) {
  const found = Number.parseFloat(text ?? "");
  return Number.isFinite(found) ? Math.min(high, Math.max(low, found)) : 0;
}

/** The panel. `changed(settings)` is called after a pause; `names` are categories at hand before all are asked for. */
export function controls(chosen, { changed, names }) {
  const tell = after(PAUSE_MS, () => changed({ ...chosen }));
  const change = (name, value) => {
    chosen[name] = value;
    tell();
  };
  const reset = el("button", { type: "button", class: "quiet" }, "Reset");
  const panel = el("form", {
    class: "controls",
    "aria-label": "Arrange the list",
    onsubmit: (event) => event.preventDefault(),
  });
  const draw = () =>
    fill(
      panel,
      amount(chosen, change),
      slider("Diversity", chosen.diversity, { min: 0, max: 1, ends: ["alike", "mixed"], name: "diversity" }, (v) =>
        change("diversity", v),
      ),
      slider("Breadth", chosen.breadth, { min: -1, max: 1, ends: ["specific", "broad"], name: "breadth" }, (v) =>
        change("breadth", v),
      ),
      choice("Broad means", chosen.by, { radius: "near the centre", level: "high in the tag tree" }, (v) =>
        change("by", v),
      ),
      only(chosen, change, names),
      tick("Also what is in the history", chosen.seen, (v) => change("seen", v)),
      reset,
    );
  reset.addEventListener("click", () => {
    Object.assign(chosen, settings(new URLSearchParams()));
    draw();
    tell();
    panel.querySelector("select")?.focus();
  });
  draw();
  return panel;
}

function amount(chosen, change) {
  const options = [...new Set([...KS, chosen.k])].sort((a, b) => a - b);
  const select = el(
    "select",
    { id: "k", onchange: () => change("k", Number(select.value)) },
    options.map((k) => el("option", { value: k, selected: k === chosen.k }, String(k))),
  );
  return el("div", { class: "knob line" }, el("label", { for: "k" }, "How many"), select);
}

function slider(label, value, { min, max, ends, name }, given) {
  const digits = el("output", { for: name }, shown(value));
  const input = el("input", { type: "range", id: name, min, max, step: 0.05, value });
  input.addEventListener("input", () => {
    fill(digits, shown(Number(input.value)));
    given(Number(input.value));
  });
  return el(
    "div",
    { class: "knob" },
    el("div", { class: "line" }, el("label", { for: name }, label), digits),
    input,
    el("div", { class: "ends", "aria-hidden": "true" }, el("span", {}, ends[0]), el("span", {}, ends[1])),
  );
}

const shown = (value) => value.toFixed(2).replace("-", "−");

function choice(label, value, options, given) {
  return el(
    "fieldset",
    { class: "knob" },
    el("legend", {}, label),
    Object.entries(options).map(([key, text]) =>
      el(
        "label",
        { class: "radio" },
        el("input", { type: "radio", name: "by", value: key, checked: key === value, onchange: () => given(key) }),
        text,
      ),
    ),
  );
}

function tick(label, value, given) {
  const input = el("input", { type: "checkbox", checked: value, onchange: () => given(input.checked) });
  return el("label", { class: "radio knob" }, input, label);
}

function only(chosen, change, names) {
  const chips = el("ul", { class: "plain chips", "aria-label": "Chosen categories and tags" });
  const put = (name, list) => {
    change(name, list);
    draw();
  };
  const field = combobox({
    label: "Only from",
    hint: "a category or a tag",
    find: (text, signal) => offers(text, signal, names),
    choose: ({ value: [name, id] }) => chosen[name].includes(id) || put(name, [...chosen[name], id]),
  });
  const draw = () =>
    fill(
      chips,
      ["category", "tag"].flatMap((name) =>
        chosen[name].map((id) =>
          el(
            "li",
            {},
            el(
              "button",
              {
                type: "button",
                class: "chip",
                "aria-label": `Remove ${name} ${id}`,
                onclick: () => {
                  put(
                    name,
                    chosen[name].filter((each) => each !== id),
                  );
                  field.input.focus();
                },
              },
              el("span", { class: "soft" }, `${name} `),
              id,
              el("span", { class: "cross", "aria-hidden": "true" }, "×"),
            ),
          ),
        ),
      ),
    );
  draw();
  return el("div", { class: "knob" }, field.box, chips);
}

async function offers(text, signal, names) {
  const wanted = text.toLowerCase();
  const [disk, tags] = await Promise.all([
    api.disk({ signal }).catch(() => ({ categories: [] })),
    api.tags({ query: text, limit: 8 }, { signal }),
  ]);
  const all = [...new Set([...names(), ...disk.categories])].filter((name) => name.toLowerCase().includes(wanted));
  return [
    ...all.slice(0, 8).map((name) => ({ group: "Categories", text: name, value: ["category", name] })),
    ...tags.tags.map((tag) => ({
      group: "Tags",
      text: tag.name,
      detail: `${tag.items} items`,
      value: ["tag", tag.tag_id],
    })),
  ];
}
