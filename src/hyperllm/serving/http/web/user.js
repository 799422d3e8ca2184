// A user: what they chose, what is recommended and why.
//
// Knows one list and its knobs; every state of both is in the address. Does not know how cards look.

import * as api from "./api.js";
import { controls, settings, written } from "./controls.js";
import { el, empty, failed, fill, link, waiting } from "./dom.js";
import { searchField } from "./find.js";
import { plural, to } from "./format.js";
import { cards, lines } from "./lists.js";

/** Draws the view of user `id`. */
export async function show(root, { id, params, signal, keep }) {
  const chosen = settings(params);
  let open = params.get("why"),
    entries = [],
    asked = null,
    past = new Set();
  const list = el("div", {}, waiting(6, "Ranking …"));
  const history = el("div", {}, waiting(4));
  const clicks = el("span", {}, "");
  const told = el("p", { class: "said", role: "status" });
  const panel = controls(chosen, {
    changed: draw,
    names: () => [...new Set(entries.flatMap((entry) => entry.categories ?? []))],
  });
  const knobs = el(
    "details",
    { class: "fold", open: matchMedia("(min-width: 60rem)").matches },
    el("summary", {}, "Arrange the list"),
    panel,
  );
  fill(
    root,
    searchField(),
    el(
      "div",
      { class: "heading" },
      el("h1", {}, `User ${id}`),
      el("p", { class: "soft" }, clicks, link(to.disk({ user: id }), "See on the disk")),
    ),
    el(
      "div",
      { class: "sides user-sides" },
      el("aside", {}, knobs, el("section", { class: "past" }, el("h2", {}, "History"), history)),
      el("section", { class: "list" }, el("h2", {}, "Recommendations"), told, list),
    ),
  );
  const first = Promise.all([draw(), remember()]);
  await first;
  return { title: `User ${id}` };

  async function remember() {
    try {
      const found = (await api.user(id, { signal })).history;
      past = new Set(found.map((item) => item.item_id));
      fill(clicks, `${plural(found.length, "item")} in the history · `);
      fill(
        history,
        found.length ? lines(found) : empty("This user has no history; the list is what the model says of newcomers."),
      );
    } catch (error) {
      if (!signal.aborted) fill(history, failed(error, remember));
    }
  }

  async function draw() {
    asked?.abort();
    asked = new AbortController();
    const mine = AbortSignal.any([signal, asked.signal]);
    address();
    list.setAttribute("aria-busy", "true");
    try {
      const wanted = { user: id, ...chosen, seen: chosen.seen || undefined };
      entries = (await api.recommend(wanted, { signal: mine })).items;
      fill(
        list,
        entries.length
          ? cards(entries, {
              open,
              opened,
              seen: chosen.seen ? past : new Set(),
              why: (entry) => api.explain(id, entry.item_id, { signal }),
            })
          : nothing(),
      );
      fill(told, `${plural(entries.length, "recommendation")}.`);
    } catch (error) {
      if (mine.aborted) return;
      fill(list, failed(error, draw));
    }
    list.removeAttribute("aria-busy");
  }

  function nothing() {
    const narrowed = chosen.category.length || chosen.tag.length;
    return empty(
      narrowed
        ? "Nothing that this user does not have yet is in what you chose. Take a category or tag away."
        : "There is nothing left to recommend.",
    );
  }

  function opened(item) {
    open = item;
    address();
  }

  function address() {
    const parts = written(chosen);
    if (open) parts.set("why", open);
    keep(parts);
  }
}
