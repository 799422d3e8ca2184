// The prompt for an API key.
//
// Knows one dialog and that a key is kept for this tab only. Does not know what was asked when the key was missing.

import { key } from "./api.js";
import { el } from "./dom.js";

let open = false;

/** Asks for the key once, then calls `done`; asking again while open does nothing. */
export function askForKey(done) {
  if (open) return;
  open = true;
  const field = el("input", { type: "password", id: "key", autocomplete: "off", required: true, spellcheck: "false" });
  const form = el(
    "form",
    { onsubmit: given },
    el("h2", { id: "key-title" }, "This server wants an API key"),
    el("p", { class: "soft" }, "Whoever runs it has set one. It stays in this tab and goes nowhere else."),
    el("label", { for: "key" }, "API key"),
    field,
    el(
      "div",
      { class: "row" },
      el("button", { type: "submit", class: "main" }, "Use this key"),
      el("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, "Not now"),
    ),
  );
  const dialog = el("dialog", { "aria-labelledby": "key-title" }, form);
  dialog.addEventListener("close", () => {
    open = false;
    dialog.remove();
  });
  document.body.append(dialog);
  dialog.showModal();
  field.focus();

  function given(event) {
    event.preventDefault();
    if (!field.value.trim()) return;
    key.set(field.value.trim());
    dialog.close();
    done();
  }
}
