// Fingers, mouse, wheel and keys on the disk.
//
// Knows pointer and key events and turns them into the few moves of a disk: grab, drag, zoom, tap, hover, nudge. Does
// not know geometry; `disk` does.

const TAP_PX = 5;
const WHEEL = 0.0016;
const STEP = 0.14;

/** Listens on `canvas` until `signal` ends. */
export function listen(canvas, disk, signal) {
  const fingers = new Map();
  let moved = false,
    start = null,
    spread = 0;
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const middle = () => {
    const [a, b] = [...fingers.values()];
    return b
      ? { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, spread: Math.hypot(a.x - b.x, a.y - b.y) }
      : { ...a, spread: 0 };
  };
  const on = (name, heard, options = {}) => canvas.addEventListener(name, heard, { signal, ...options });

  on("pointerdown", (event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, at(event));
    const now = middle();
    if (fingers.size === 1) [moved, start] = [false, now];
    spread = now.spread;
    disk.grab(now);
  });

  on("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return event.pointerType === "mouse" ? disk.hoverAt(at(event)) : undefined;
    fingers.set(event.pointerId, at(event));
    const now = middle();
    if (fingers.size > 1 || Math.hypot(now.x - start.x, now.y - start.y) > TAP_PX) moved = true;
    if (!moved) return;
    disk.drag(now);
    if (fingers.size === 2 && spread > 0) disk.zoom(now.spread / spread, now);
    if (fingers.size === 2) disk.grab(now);
    spread = now.spread;
  });

  const up = (event) => {
    if (!fingers.delete(event.pointerId)) return;
    if (fingers.size) disk.grab(middle());
    else {
      disk.release();
      if (!moved && event.type === "pointerup") disk.tap(at(event));
    }
  };
  on("pointerup", up);
  on("pointercancel", up);
  on("pointerleave", () => disk.hoverAt(null));
  on("dblclick", (event) => disk.centreOn(at(event)));
  on(
    "wheel",
    (event) => {
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 16 : 1;
      disk.zoom(Math.exp(-event.deltaY * lines * WHEEL * (event.ctrlKey ? 4 : 1)), at(event));
    },
    { passive: false },
  );
  on("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const keys = {
      ArrowLeft: () => disk.nudge(STEP, 0),
      ArrowRight: () => disk.nudge(-STEP, 0),
      ArrowUp: () => disk.nudge(0, -STEP),
      ArrowDown: () => disk.nudge(0, STEP),
      "+": () => disk.zoom(1.3),
      "=": () => disk.zoom(1.3),
      "-": () => disk.zoom(1 / 1.3),
      0: () => disk.reset(),
      Home: () => disk.reset(),
      Enter: () => disk.tapMiddle(),
      Escape: () => disk.choose(null),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
}
