// The first view: one field for users and items, and some of both to begin with.
//
// Knows where a search leads. Does not know what a user's or an item's own view shows.

import * as api from "./api.js";
import { el, empty, failed, fill, link, waiting } from "./dom.js";
import { count, name, path, plural, to } from "./format.js";
import { combobox } from "./search.js";

const SHOWN = 6;

/** The search field, as every view of Find has it on top. */
export function searchField() {
  const { box } = combobox({
    label: "Search users and items",
    hint: "A user, a title or an id",
    find: both,
    choose: (option) => (location.hash = option.value),
    attributes: { "data-search": true, "aria-keyshortcuts": "/" },
  });
  box.classList.add("search");
  box.append(el("kbd", { "aria-hidden": "true", title: "Press / to search" }, "/"));
  return box;
}

async function both(text, signal) {
  const [users, items] = await Promise.all([api.users(text, SHOWN, { signal }), api.items(text, SHOWN, { signal })]);
  return [
    ...users.users.map((user) => ({
      group: "Users",
      text: `User ${user.user_id}`,
      detail: plural(user.clicks, "click"),
      value: to.user(user.user_id),
    })),
    ...items.items.map((item) => ({
      group: "Items",
      text: name(item),
      detail: path((item.categories ?? []).slice(-2)),
      value: to.item(item.item_id),
    })),
  ];
}

/** Draws the view. */
export async function show(root, { signal }) {
  const facts = el("p", { class: "soft" }, "\u00a0");
  const users = el("section", {}, waiting(4));
  const items = el("section", {}, waiting(4));
  fill(
    root,
    el(
      "div",
      { class: "hero" },
      el("h1", {}, "Who might like what, and why"),
      el(
        "p",
        { class: "lead" },
        "Pick a user to see what the model recommends and for which reasons; pick an item to see what lies near it.",
      ),
      searchField(),
      facts,
    ),
    el("div", { class: "start" }, users, items),
  );
  await Promise.all([
    part(users, "Some users", async () => (await api.users("", 8, { signal })).users.map(userLine), signal),
    part(items, "Most clicked items", async () => (await api.items("", 8, { signal })).items.map(itemLine), signal),
    api.health({ signal }).then(
      (told) => fill(facts, sizes(told)),
      () => fill(facts),
    ),
  ]);
  return { title: "" };
}

function sizes(told) {
  const parts = [plural(told.users, "user"), plural(told.items, "item"), plural(told.tags, "tag")];
  if (told.added) parts.push(`${count(told.added)} added since`);
  return `${parts.join(" · ")} · run ${told.run}`;
}

async function part(section, heading, load, signal) {
  const title = el("h2", {}, heading);
  try {
    const lines = await load();
    fill(section, title, lines.length ? el("ul", { class: "plain lines" }, lines) : empty("None yet."));
  } catch (error) {
    if (!signal.aborted)
      fill(
        section,
        title,
        failed(error, () => part(section, heading, load, signal)),
      );
  }
}

const userLine = (user) =>
  el(
    "li",
    {},
    link(to.user(user.user_id), `User ${user.user_id}`),
    el("span", { class: "end" }, plural(user.clicks, "click")),
  );

const itemLine = (item) =>
  el(
    "li",
    {},
    el(
      "span",
      {},
      link(to.item(item.item_id), name(item)),
      el("span", { class: "under" }, path((item.categories ?? []).slice(-2))),
    ),
    el("span", { class: "end" }, plural(item.clicks, "click")),
  );
