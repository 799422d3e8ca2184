// A tree that loads its branches when they are opened, by the book of ARIA.
//
// Knows keys (arrows, Home, End, Enter, a letter), one focus stop, and that a node may hang below several parents: a
// node's place is its whole way from the root. Does not know what the nodes mean: `children(id)` gives
// { id, text, detail, kind, many }, `many` being whether there is anything below.

import { el, fill, set } from "./dom.js";

/** A tree of `roots`; `choose(id)` is called when a node is taken. */
export function tree({ label, roots, children, choose }) {
  const root = el(
    "ul",
    { role: "tree", "aria-label": label, class: "plain tree", onkeydown: press },
    roots.map((node) => made(node, [])),
  );
  const items = () =>
    [...root.querySelectorAll("[role=treeitem]")].filter((item) => !item.parentElement.closest("[hidden]"));
  const first = root.querySelector("[role=treeitem]");
  if (first) first.tabIndex = 0;

  function made(node, above) {
    const leaf = !node.many || above.includes(node.id); // a ring of tags ends where it comes round
    const line = el(
      "div",
      { class: "node" },
      el(
        "span",
        {
          class: "twist",
          "aria-hidden": "true",
          onclick: (event) => {
            event.stopPropagation();
            turn(item);
          },
        },
        leaf ? "" : "▸",
      ),
      el("span", { class: ["mark", node.kind] }),
      el("span", { class: "text" }, node.text),
      el("span", { class: "detail" }, node.detail),
    );
    const item = el(
      "li",
      {
        role: "treeitem",
        tabindex: "-1",
        "data-id": node.id,
        "aria-selected": "false",
        "aria-level": above.length + 1,
        "aria-expanded": leaf ? null : "false",
        "aria-label": `${node.text}, ${node.detail}`,
        onclick: (event) => {
          event.stopPropagation();
          focus(item);
          take(item);
        },
      },
      line,
    );
    item.above = [...above, node.id];
    return item;
  }

  function focus(item) {
    for (const each of root.querySelectorAll("[tabindex='0']")) each.tabIndex = -1;
    item.tabIndex = 0;
    item.focus();
  }

  function take(item) {
    choose(item.dataset.id);
    if (item.getAttribute("aria-expanded") === "false") turn(item, true);
  }

  async function turn(item, wanted = item.getAttribute("aria-expanded") !== "true") {
    if (!item.hasAttribute("aria-expanded")) return;
    set(item, { "aria-expanded": String(wanted) });
    let group = item.querySelector(":scope > ul");
    if (group) group.hidden = !wanted;
    if (group || !wanted) return;
    group = el("ul", { role: "group", class: "plain" }, el("li", { role: "none", class: "soft wait" }, "Loading …"));
    item.append(group);
    try {
      const found = await children(item.dataset.id);
      fill(
        group,
        found.map((node) => made(node, item.above)),
      );
      if (!found.length) set(item, { "aria-expanded": null });
      mark();
    } catch (error) {
      group.remove();
      set(item, { "aria-expanded": "false" });
      if (error.name !== "AbortError") item.querySelector(".detail").textContent = error.message;
    }
  }

  function press(event) {
    const item = event.target.closest("[role=treeitem]");
    if (!item || event.ctrlKey || event.metaKey || event.altKey) return;
    const all = items(),
      at = all.indexOf(item),
      open = item.getAttribute("aria-expanded");
    const go = (next) => next && focus(next);
    const keys = {
      ArrowDown: () => go(all[at + 1]),
      ArrowUp: () => go(all[at - 1]),
      Home: () => go(all[0]),
      End: () => go(all.at(-1)),
      ArrowRight: () =>
        open === "false" ? turn(item, true) : open === "true" && go(item.querySelector("[role=treeitem]")),
      ArrowLeft: () => (open === "true" ? turn(item, false) : go(item.parentElement.closest("[role=treeitem]"))),
      Enter: () => take(item),
      " ": () => take(item),
    };
    if (keys[event.key]) keys[event.key]();
    else if (event.key.length === 1 && event.key !== "/") letter(event.key.toLowerCase(), all, at);
    else return;
    event.preventDefault();
  }

  function letter(key, all, at) {
    const next = [...all.slice(at + 1), ...all.slice(0, at + 1)];
    const found = next.find((item) => item.querySelector(".text").textContent.toLowerCase().startsWith(key));
    if (found) focus(found);
  }

  let marked = null;
  function mark(id = marked) {
    marked = id;
    for (const each of root.querySelectorAll("[role=treeitem]"))
      set(each, { "aria-selected": String(each.dataset.id === id) });
  }

  /** `mark(id)` shows which node is taken, wherever it stands; `open(item)` opens a branch. */
  return { root, mark, open: (item) => turn(item, true) };
}
