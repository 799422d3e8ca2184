// Thousands of round points, straight into pixels: a few milliseconds whatever the graphics card.
//
// Knows discs with soft edges at quarter pixels, and colours as numbers. Does not know the disk nor what a point means;
// `paint` lays the finished picture over its ground.

const PHASES = 4; // places within a pixel, so that slow moves do not jump
const SIZES = 4; // radii a pixel

/** A layer of points; `start`, then `add` for each point, then `finish` gives a picture to draw. */
export class Points {
  constructor() {
    this.canvas = new OffscreenCanvas(1, 1);
    this.context = this.canvas.getContext("2d");
    this.width = this.height = 0;
  }

  /** Empties the layer; sizes are whole pixels of the screen. */
  start(width, height) {
    if (width !== this.width || height !== this.height) {
      Object.assign(this.canvas, { width, height });
      Object.assign(this, { width, height, stamps: new Map(), image: this.context.createImageData(width, height) });
      this.pixels = new Uint32Array(this.image.data.buffer);
    } else this.pixels.fill(0);
  }

  /** A disc about (x, y) of this radius, in a colour made by `packed`. */
  add(x, y, radius, colour) {
    const size = Math.max(2, Math.round(radius * SIZES));
    const left = Math.floor(x),
      top = Math.floor(y),
      reach = (size / SIZES + 2) | 0;
    if (left < reach || top < reach || left >= this.width - reach || top >= this.height - reach) return;
    const phase = (((y - top) * PHASES) | 0) * PHASES + (((x - left) * PHASES) | 0),
      key = size * PHASES * PHASES + phase;
    let stamp = this.stamps.get(key);
    if (stamp === undefined) this.stamps.set(key, (stamp = this.cut(size / SIZES, phase)));
    const { offsets, cover } = stamp,
      pixels = this.pixels,
      base = top * this.width + left;
    for (let n = 0; n < offsets.length; n++) {
      const at = base + offsets[n],
        share = cover[n];
      pixels[at] = share === 255 ? colour : mixed(pixels[at], colour, share);
    }
  }

  /** The picture, on a canvas of its own. */
  finish() {
    this.context.putImageData(this.image, 0, 0);
    return this.canvas;
  }

  /** Which pixels a disc covers, as offsets from the pixel of its middle, and how far, 1 … 255. */
  cut(radius, phase) {
    const x = ((phase % PHASES) + 0.5) / PHASES,
      y = (Math.floor(phase / PHASES) + 0.5) / PHASES,
      reach = Math.ceil(radius + 1);
    const offsets = [],
      cover = [];
    for (let row = -reach; row <= reach; row++) {
      for (let column = -reach; column <= reach; column++) {
        const inside = radius + 0.5 - Math.hypot(column + 0.5 - x, row + 0.5 - y);
        if (inside <= 0) continue;
        offsets.push(row * this.width + column);
        cover.push(Math.max(1, Math.round(255 * Math.min(1, inside))));
      }
    }
    return { offsets: Int32Array.from(offsets), cover: Uint8Array.from(cover) };
  }
}

/** One opaque colour over another pixel, `share` of 255 of it. */
function mixed(under, colour, share) {
  const alpha = under >>> 24;
  if (alpha === 0) return ((colour & 0xffffff) | (share << 24)) >>> 0;
  const blend = (shift) => {
    const old = (under >>> shift) & 255;
    return (old + ((((colour >>> shift) & 255) - old) * share) / 255) << shift;
  };
  return (blend(0) | blend(8) | blend(16) | ((alpha + ((255 - alpha) * share) / 255) << 24)) >>> 0;
}

/** "#0b85e0" as a pixel. */
export function packed(colour) {
  const value = Number.parseInt(colour.slice(1), 16);
  return (0xff000000 | ((value & 255) << 16) | (value & 0xff00) | (value >> 16)) >>> 0;
}
