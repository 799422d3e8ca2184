// The catalogue on the Poincaré disk: a canvas that can be turned over like a map.
//
// Knows the state of the picture (an isometry, a scale, what is lit, what is pointed at) and the moves that change it.
// Every move is a Möbius map: distances in the data are kept. Does not know addresses, the panel beside it, or strokes.

import { IDENTITY, apply, applyAll, carry, compose, fromCentre, inside, inverse, partly, toCentre } from "./moebius.js";
import { listen } from "./gestures.js";
import { paint, tagSeen } from "./paint.js";
import { groups, palette } from "./palette.js";
import { Points } from "./points.js";

const MARGIN_PX = 12;
const LARGEST = 24;
const REACH_PX = 12;
const FRAME_MS = 12;
const CENTRE_MS = 380;
const DARK = { history: [], recommended: [], user: null, focus: null, guest: null };

/** A disk on `canvas`. `picked(mark)` and `pointed(mark, where)` hear { kind: "item" | "tag", index } or null. */
export class Disk {
  constructor(canvas, { picked = () => undefined, pointed = () => undefined, quiet = false, signal }) {
    Object.assign(this, {
      canvas,
      picked,
      pointed,
      quiet,
      map: IDENTITY,
      scale: 1,
      stride: 1,
      frameMs: 0,
      hover: null,
      lit: DARK,
      groups: [],
      layer: new Points(),
    });
    this.context = canvas.getContext("2d");
    this.held = null;
    this.waits = false;
    this.drift = 0;
    canvas.disk = this;
    const size = new ResizeObserver(() => this.fit());
    size.observe(canvas);
    signal.addEventListener("abort", () => {
      size.disconnect();
      cancelAnimationFrame(this.drift);
    });
    document.addEventListener("tint", () => this.tint(), { signal });
    listen(canvas, this, signal);
  }

  /** Takes what `GET /disk` answered. */
  load(data) {
    const seen = (part) => ({
      ...part,
      xs: Float64Array.from(part.x),
      ys: Float64Array.from(part.y),
      vx: new Float64Array(part.x.length),
      vy: new Float64Array(part.x.length),
    });
    this.data = data;
    this.items = seen(data.items);
    this.tags = {
      ...seen(data.tags),
      wide: data.tags.items.map((items) => 0.5 + 2 * Math.log10(1 + items)),
      ordered: data.tags.items.map((_, index) => index).sort((a, b) => data.tags.items[b] - data.tags.items[a]),
    };
    this.colour("category");
    this.tint();
    this.fit();
  }

  /** Colours by "category" or "level"; the legend's groups are in `groups`. */
  colour(by) {
    this.groups = groups(this.data, by).map((group) => ({ ...group, shown: true }));
    this.sift();
  }

  /** Shows or hides a group of the legend. */
  show(key, shown) {
    for (const group of this.groups) if (group.key === key) group.shown = shown;
    this.sift();
  }

  /** Lights up { history, recommended: item numbers, user, guest: points, focus: a mark }; what is left out is as it was. */
  light(more) {
    this.lit = { ...this.lit, ...more };
    this.redraw();
  }

  sift() {
    const { items, tags } = this;
    for (const part of [items, tags]) part.shown = new Uint8Array(part.x.length);
    for (const group of this.groups)
      if (group.shown) for (const index of group.members) (group.kind === "items" ? items : tags).shown[index] = 1;
    this.redraw();
  }

  tint() {
    this.colours = palette();
    this.redraw();
  }

  fit() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    Object.assign(this, {
      width,
      height,
      ratio,
      middle: { x: width / 2, y: height / 2 },
      whole: Math.min(width, height) / 2 - MARGIN_PX,
    });
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.paint();
  }

  redraw() {
    if (this.waits) return;
    this.waits = true;
    requestAnimationFrame(() => {
      this.waits = false;
      this.paint();
    });
  }

  paint() {
    if (!this.items || !this.colours || !this.width) return;
    const start = performance.now();
    for (const part of [this.items, this.tags]) applyAll(this.map, part.xs, part.ys, part.vx, part.vy);
    this.radius = this.whole * this.scale;
    paint(this.context, this);
    this.frameMs = performance.now() - start;
    const moves = this.held || this.drift;
    this.stride = moves && this.frameMs > FRAME_MS ? Math.min(4, this.stride + 1) : this.stride;
  }

  /** The point of the seen disk under a pixel, kept inside. */
  under({ x, y }) {
    const radius = this.whole * this.scale;
    return inside({ x: (x - this.middle.x) / radius, y: (this.middle.y - y) / radius });
  }

  /** The pixel of a point of the data. */
  pixel(point) {
    const { x, y } = apply(this.map, point);
    return { x: this.middle.x + this.whole * this.scale * x, y: this.middle.y - this.whole * this.scale * y };
  }

  move(map) {
    this.map = compose(map, this.map);
    this.redraw();
  }

  grab(pixel) {
    this.stop();
    this.held = { point: apply(inverse(this.map), this.under(pixel)) };
  }

  drag(pixel) {
    if (this.held) this.move(carry(apply(this.map, this.held.point), this.under(pixel)));
  }

  release() {
    this.held = null;
    this.rest();
  }

  rest() {
    this.stride = 1;
    this.redraw();
  }

  /** Larger by `factor`, towards a pixel: what is under it stays under it. */
  zoom(factor, pixel = this.middle) {
    const before = this.scale;
    this.scale = Math.min(LARGEST, Math.max(1, before * factor));
    const radius = this.whole * before;
    const point = inside({ x: (pixel.x - this.middle.x) / radius, y: (this.middle.y - pixel.y) / radius });
    const share = before / this.scale;
    if (share !== 1) this.move(carry(point, inside({ x: point.x * share, y: point.y * share })));
  }

  /** Moves the picture by a share of the disk, for keys. */
  nudge(x, y) {
    this.stop();
    this.move(fromCentre({ x: x / this.scale, y: y / this.scale }));
    this.pointMiddle();
  }

  reset() {
    this.stop();
    Object.assign(this, { map: IDENTITY, scale: 1 });
    this.redraw();
  }

  stop() {
    cancelAnimationFrame(this.drift);
    this.drift = 0;
  }

  /** Brings a point of the data to the middle, along the geodesic; at once where motion is unwanted. */
  centre(point) {
    this.stop();
    const start = this.map,
      from = apply(start, point),
      begun = performance.now();
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return this.move(toCentre(from));
    const step = () => {
      const share = Math.min(1, (performance.now() - begun) / CENTRE_MS);
      this.map = compose(partly(from, { x: 0, y: 0 }, share * share * (3 - 2 * share)), start);
      this.drift = share < 1 ? requestAnimationFrame(step) : 0;
      share < 1 ? this.redraw() : this.rest();
    };
    step();
  }

  centreOn(pixel) {
    const mark = this.nearest(pixel);
    this.centre(mark ? this.point(mark) : apply(inverse(this.map), this.under(pixel)));
  }

  /** The point of a mark in the data. */
  point({ kind, index }) {
    const from = kind === "tag" ? this.tags : this.items;
    return { x: from.xs[index], y: from.ys[index] };
  }

  /** The mark at a pixel: what is lit goes before tags, tags before items. */
  nearest(pixel, reach = REACH_PX) {
    if (!this.items) return null;
    const { items, tags, lit, middle } = this,
      radius = this.whole * this.scale;
    let best = null,
      least = reach;
    const look = (kind, part, index, room) => {
      const away =
        Math.hypot(middle.x + radius * part.vx[index] - pixel.x, middle.y - radius * part.vy[index] - pixel.y) - room;
      if (away < least) [best, least] = [{ kind, index }, away];
    };
    for (const index of [...lit.recommended, ...lit.history]) look("item", items, index, 8);
    for (let index = 0; !this.quiet && index < tags.vx.length; index++) {
      if (tags.shown[index] && tagSeen(this, index)) look("tag", tags, index, 3);
    }
    for (let index = 0; index < items.vx.length; index++) if (items.shown[index]) look("item", items, index, 0);
    return best;
  }

  tap(pixel) {
    this.choose(this.nearest(pixel));
  }

  tapMiddle() {
    this.choose(this.nearest(this.middle, Infinity));
  }

  choose(mark) {
    this.picked(mark);
  }

  hoverAt(pixel) {
    const mark = pixel && this.nearest(pixel);
    this.pointTo(mark, "pointer");
  }

  pointMiddle() {
    this.paint();
    this.pointTo(this.nearest(this.middle, Infinity), "keys");
  }

  pointTo(mark, by) {
    const same = mark?.kind === this.hover?.kind && mark?.index === this.hover?.index;
    this.hover = mark;
    this.canvas.classList.toggle("over", Boolean(mark));
    if (!same || mark) this.pointed(mark, mark ? this.pixel(this.point(mark)) : null, by);
    if (!same) this.redraw();
  }
}
