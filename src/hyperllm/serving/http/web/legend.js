// The legend of the disk: what the colours mean, how many of each there are, and which are shown.
//
// Knows the two ways of colouring. Does not know addresses: `choose(way)` is called when another way is picked.

import { el, fill, set } from "./dom.js";
import { count } from "./format.js";
import { colourOf } from "./palette.js";

/** How points can be coloured, and what each way is called. */
export const WAYS = { category: "category", level: "tag level" };

/** The legend of `disk`; `draw(way)` colours it. */
export function legend(disk, { choose, signal }) {
  const inputs = Object.keys(WAYS).map((way) =>
    el("input", { type: "radio", name: "colour", value: way, onchange: () => choose(way) }),
  );
  const labels = inputs.map((input) => el("label", { class: "radio" }, input, WAYS[input.value]));
  const keys = el("div", { class: "legend" });
  const root = el("section", {}, el("fieldset", { class: "colouring" }, el("legend", {}, "Colour by"), labels), keys);
  document.addEventListener("tint", tint, { signal });

  function draw(way) {
    for (const input of inputs) input.checked = input.value === way;
    disk.colour(way);
    const lines = disk.groups.map((group) => el("li", {}, key(disk, group)));
    fill(keys, el("ul", { class: "plain", "aria-label": "Legend; press to show or hide" }, lines));
    tint();
  }

  function tint() {
    keys.querySelectorAll(".swatch").forEach((swatch, place) => {
      swatch.style.backgroundColor = colourOf(disk.groups[place], disk.colours);
    });
  }

  return { root, draw };
}

function key(disk, group) {
  const button = el(
    "button",
    { type: "button", class: "key", "aria-pressed": "true", title: "Show or hide", onclick: turn },
    el("span", { class: ["swatch", group.kind === "tags" && "square"] }),
    el("span", { class: "text" }, group.name),
    el("span", { class: "detail" }, count(group.count)),
  );

  function turn() {
    const shown = button.getAttribute("aria-pressed") !== "true";
    set(button, { "aria-pressed": String(shown) });
    disk.show(group.key, shown);
  }

  return button;
}
