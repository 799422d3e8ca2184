// The colours of the disk, by day and by night.
//
// Knows the names of the colours in style.css and which group of points has which. Does not know how points are drawn.

/** How many categories have a colour of their own; the rest share grey. */
export const OWN_COLOURS = 8;

/** All colours that drawing needs, as they are now. */
export function palette() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    categories: [...Array.from({ length: OWN_COLOURS }, (_, place) => read(`k${place}`)), read("k-rest")],
    levels: [read("l0"), read("l1"), read("l2"), read("l3")],
    ink: read("ink"),
    soft: read("soft"),
    rule: read("rule"),
    card: read("card"),
    plain: read("k-rest"),
    grid: read("grid"),
    history: read("c1"),
    recommended: read("c0"),
    focus: read("ink"),
    onMark: read("card"),
  };
}

/** The groups of items and tags: { key, name, count, colour index, kind, members }. `by` is "category" or "level". */
export function groups(data, by) {
  return by === "category"
    ? [...byCategory(data), whole("tags", "Tags", data.tags.id.length)]
    : [...byLevel(data), whole("items", "Items", data.items.id.length)];
}

function whole(kind, name, count) {
  return {
    key: kind,
    kind,
    name,
    count,
    colour: -1,
    members: Uint32Array.from({ length: count }, (_, place) => place),
  };
}

function byCategory({ items, categories }) {
  const counts = new Map();
  for (const category of items.category) counts.set(category, (counts.get(category) ?? 0) + 1);
  const ordered = [...counts.keys()].filter((category) => category >= 0).sort((a, b) => counts.get(b) - counts.get(a));
  const own = ordered.slice(0, ordered.length === OWN_COLOURS + 1 ? OWN_COLOURS + 1 : OWN_COLOURS);
  const slot = new Map(own.map((category, place) => [category, place]));
  const members = Array.from({ length: own.length + 1 }, () => []);
  items.category.forEach((category, index) => members[slot.get(category) ?? own.length].push(index));
  const named = [...own.map((category) => categories[category]), own.length ? "All others" : "Items"];
  return members
    .map((list, place) => ({
      key: `category-${place}`,
      kind: "items",
      name: named[place],
      count: list.length,
      colour: place < own.length ? Math.min(place, OWN_COLOURS) : OWN_COLOURS,
      members: Uint32Array.from(list),
    }))
    .filter((group) => group.count);
}

function byLevel({ tags }) {
  const names = ["Tags without a level", "Level 1, broad", "Level 2", "Level 3, specific"];
  const members = names.map(() => []);
  tags.level.forEach((level, index) => members[level >= 1 && level <= 3 ? level : 0].push(index));
  return [1, 2, 3, 0]
    .map((level) => ({
      key: `level-${level}`,
      kind: "tags",
      name: names[level],
      count: members[level].length,
      colour: level,
      members: Uint32Array.from(members[level]),
    }))
    .filter((group) => group.count);
}

/** The colour of a group. */
export function colourOf(group, colours) {
  if (group.kind === "tags") return group.colour < 0 ? colours.soft : colours.levels[group.colour];
  return group.colour < 0 ? colours.plain : colours.categories[group.colour];
}
