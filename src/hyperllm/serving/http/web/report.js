// The report: how the model was made, what it reached, how large it is, and what the server answers.
//
// Knows tables. Does not know which settings or metrics there are: whatever the server tells is shown.

import * as api from "./api.js";
import { el, empty, failed, fill, waiting } from "./dom.js";
import { bytes, duration, value } from "./format.js";

const LONG = 15;

/** Draws the view. */
export async function show(root, { signal }) {
  const body = el("div", { class: "report" }, waiting(8));
  const calls = el("section", { id: "api" }, waiting(6));
  const heading = el("div", { class: "heading" }, el("h1", {}, "Report"));
  fill(root, heading, body, calls);
  await Promise.all([run(heading, body, signal), endpoints(calls, signal)]);
  return { title: "Report" };
}

async function run(heading, body, signal) {
  try {
    const told = await api.report({ signal });
    heading.append(el("p", { class: "soft" }, `Run ${told.run} · version ${told.version}`));
    fill(
      body,
      el("div", { class: "facts-side" }, metrics(told.metrics), phases(told.phases), pairs("Sizes", told.sizes)),
      pairs("Settings", told.settings),
    );
  } catch (error) {
    if (!signal.aborted)
      fill(
        body,
        failed(error, () => run(heading, body, signal)),
      );
  }
}

const isTable = (given) => given !== null && typeof given === "object" && !Array.isArray(given);

/** Metrics by part: rows are metrics, columns parts; plain numbers are one column. */
function metrics(found) {
  const given = Object.entries(found ?? {});
  if (!given.length) return none("Metrics", "None are on record: evaluate the run to have them here.");
  const nested = given.filter(([, each]) => isTable(each));
  const flat = given.filter(([, each]) => !isTable(each));
  const tables = [];
  if (flat.length)
    tables.push(
      table(
        ["Metric", ""],
        flat.map(([key, each]) => [title(key), measured(each)]),
      ),
    );
  if (nested.length) {
    const rows = [...new Set(nested.flatMap(([, each]) => Object.keys(each)))];
    tables.push(
      table(
        ["Metric", ...nested.map(([part]) => part)],
        rows.map((key) => [title(key), ...nested.map(([, each]) => measured(each[key]))]),
      ),
    );
  }
  return el("section", {}, el("h2", {}, "Metrics"), tables);
}

function phases(found) {
  const given = Object.entries(found ?? {});
  if (!given.length)
    return none("Training", "Nothing is on record: the model is served from an exported folder or needed no training.");
  const rows = [...new Set(given.flatMap(([, phase]) => Object.keys(flattened(phase))))];
  const flat = given.map(([, phase]) => flattened(phase));
  return el(
    "section",
    {},
    el("h2", {}, "Training"),
    table(
      ["", ...given.map(([key]) => key)],
      rows.map((key) => [title(key), ...flat.map((phase) => (key in phase ? measured(phase[key], key) : "–"))]),
    ),
  );
}

function pairs(heading, found) {
  const rows = Object.entries(flattened(found ?? {}));
  if (!rows.length) return none(heading, "Nothing is on record.");
  const lines = rows.map(([key, each]) => [title(key), measured(each, key)]);
  const parts = lines.length > LONG ? 3 : 1,
    size = Math.ceil(lines.length / parts);
  const chunks = Array.from({ length: parts }, (_, part) => lines.slice(part * size, (part + 1) * size)).filter(
    (chunk) => chunk.length,
  );
  return el(
    "section",
    {},
    el("h2", {}, heading),
    el(
      "div",
      { class: "chunks" },
      chunks.map((chunk) => table(["", ""], chunk)),
    ),
  );
}

function flattened(given, before = "") {
  if (!isTable(given)) return { [before || "value"]: given };
  return Object.entries(given).reduce(
    (all, [key, each]) => ({
      ...all,
      ...(isTable(each) ? flattened(each, `${before}${key} `) : { [before + key]: each }),
    }),
    {},
  );
}

function measured(given, key = "") {
  if (typeof given === "number" && key.endsWith("_s")) return duration(given);
  if (typeof given === "number" && key.endsWith("_mb")) return bytes(given * 1e6);
  if (typeof given === "number" && /bytes$/.test(key)) return bytes(given);
  if (typeof given === "number" && /@|saturated/.test(key)) return given.toFixed(4);
  if (typeof given === "number" && !key && !Number.isInteger(given)) return given.toFixed(4);
  return value(given);
}

/** "best_epoch" -> "best epoch"; units that are shown with the value leave the name. */
const title = (key) => key.replace(/_(s|mb|bytes)$/, "").replaceAll("_", " ");

function table(head, rows) {
  return el(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": `Table of ${head[0] || rows[0]?.[0]}` },
    el(
      "table",
      {},
      head.some((text, at) => at && text)
        ? el(
            "thead",
            {},
            el(
              "tr",
              {},
              head.map((text, at) => (text ? el("th", { scope: "col", class: at ? "number" : "" }, text) : el("td"))),
            ),
          )
        : null,
      el(
        "tbody",
        {},
        rows.map(([first, ...rest]) =>
          el(
            "tr",
            {},
            el("th", { scope: "row" }, first),
            rest.map((text) => el("td", { class: "number" }, text)),
          ),
        ),
      ),
    ),
  );
}

const none = (heading, text) => el("section", {}, el("h2", {}, heading), empty(text));

async function endpoints(box, signal) {
  const heading = el("h2", {}, "API");
  try {
    const told = await api.description({ signal });
    const calls = Object.entries(told.paths ?? {}).flatMap(([way, methods]) =>
      Object.entries(methods).map(([method, about]) => ({ way, method, about })),
    );
    fill(
      box,
      heading,
      el(
        "p",
        { class: "soft" },
        "Everything on these pages comes from these addresses; ",
        el("a", { href: "/openapi.json" }, "/openapi.json"),
        " has every field.",
      ),
      el("ul", { class: "plain calls" }, calls.map(call)),
    );
  } catch (error) {
    if (!signal.aborted)
      fill(
        box,
        heading,
        failed(error, () => endpoints(box, signal)),
      );
  }
}

function call({ way, method, about }) {
  const inputs = (about.parameters ?? []).map((each) => each.name).join(", ");
  return el(
    "li",
    { class: "call" },
    el("code", { class: ["method", method] }, method.toUpperCase()),
    el("code", { class: "way" }, way),
    el("span", {}, about.summary ?? about.description ?? "", inputs ? el("span", { class: "under" }, inputs) : null),
  );
}
