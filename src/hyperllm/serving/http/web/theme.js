// Day or night, before anything is painted. A plain script, not a module, so that it runs first.
//
// Knows the wish kept in this browser, else what the system prefers, and says it on the root element; style.css goes by
// that. Does not know the page; app.js changes the wish.
{
  let wish = null;
  try {
    wish = localStorage.getItem("hyperllm-theme");
  } catch {
    /* storage is off: the system decides */
  }
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  document.documentElement.dataset.theme = wish === "dark" || wish === "light" ? wish : system;
}
