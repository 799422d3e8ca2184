// Isometries of the Poincaré disk.
//
// Knows the maps z ↦ (a·z + b) / (b̄·z + ā) with |a|² − |b|² = 1, how they compose and what they keep: hyperbolic
// distance. A point is {x, y} with x² + y² < 1; a map is the four numbers {ar, ai, br, bi}. Pure functions.
// Does not know pixels, pointers, items or the page.

export const IDENTITY = Object.freeze({ ar: 1, ai: 0, br: 0, bi: 0 });
const RIM = 0.985;

/** The image of a point. */
export function apply(map, { x, y }) {
  const { ar, ai, br, bi } = map;
  const nx = ar * x - ai * y + br,
    ny = ar * y + ai * x + bi;
  const dx = br * x + bi * y + ar,
    dy = br * y - bi * x - ai;
  const size = dx * dx + dy * dy;
  return { x: (nx * dx + ny * dy) / size, y: (ny * dx - nx * dy) / size };
}

/** The images of many points, from the arrays xs, ys into the arrays outX, outY. */
export function applyAll(map, xs, ys, outX, outY) {
  const { ar, ai, br, bi } = map;
  for (let i = 0; i < xs.length; i++) {
    const x = xs[i],
      y = ys[i];
    const nx = ar * x - ai * y + br,
      ny = ar * y + ai * x + bi;
    const dx = br * x + bi * y + ar,
      dy = br * y - bi * x - ai;
    const size = dx * dx + dy * dy;
    outX[i] = (nx * dx + ny * dy) / size;
    outY[i] = (ny * dx - nx * dy) / size;
  }
}

/** First `inner`, then `outer`; scaled so that |a|² − |b|² stays 1 however many maps are composed. */
export function compose(outer, inner) {
  const ar = outer.ar * inner.ar - outer.ai * inner.ai + outer.br * inner.br + outer.bi * inner.bi;
  const ai = outer.ar * inner.ai + outer.ai * inner.ar + outer.bi * inner.br - outer.br * inner.bi;
  const br = outer.ar * inner.br - outer.ai * inner.bi + outer.br * inner.ar + outer.bi * inner.ai;
  const bi = outer.ar * inner.bi + outer.ai * inner.br + outer.bi * inner.ar - outer.br * inner.ai;
  const unit = 1 / Math.sqrt(ar * ar + ai * ai - br * br - bi * bi);
  return { ar: ar * unit, ai: ai * unit, br: br * unit, bi: bi * unit };
}

/** The map that undoes `map`. */
export function inverse({ ar, ai, br, bi }) {
  return { ar, ai: -ai, br: -br, bi: -bi };
}

/** The translation along a diameter that carries the centre to `point`. */
export function fromCentre({ x, y }) {
  const a = 1 / Math.sqrt(1 - x * x - y * y);
  return { ar: a, ai: 0, br: a * x, bi: a * y };
}

/** The translation along a diameter that carries `point` to the centre. */
export function toCentre({ x, y }) {
  return fromCentre({ x: -x, y: -y });
}

/** The half turn about `point`. */
export function halfTurn(point) {
  return compose(compose(fromCentre(point), { ar: 0, ai: 1, br: 0, bi: 0 }), toCentre(point));
}

/** The translation along the geodesic through both points that carries `from` to `to`. */
export function carry(from, to) {
  return compose(halfTurn(midpoint(from, to)), halfTurn(from));
}

/** The point half way on the geodesic between two points. */
export function midpoint(from, to) {
  const seen = apply(toCentre(from), to);
  const square = seen.x * seen.x + seen.y * seen.y;
  const half = 1 / (1 + Math.sqrt(1 - square)); // tanh(ρ/4) / tanh(ρ/2)
  return apply(fromCentre(from), { x: seen.x * half, y: seen.y * half });
}

/** A part of the translation from one point to another, 0 … 1: what an animation shows. */
export function partly(from, to, share) {
  const seen = apply(toCentre(from), to);
  const size = Math.hypot(seen.x, seen.y);
  if (size < 1e-9) return IDENTITY;
  const length = Math.tanh(share * Math.atanh(Math.min(size, 1 - 1e-12))) / size;
  return carry(from, apply(fromCentre(from), { x: seen.x * length, y: seen.y * length }));
}

/** Hyperbolic distance, curvature −1. */
export function distance(one, other) {
  const gap = (one.x - other.x) ** 2 + (one.y - other.y) ** 2;
  const room = (1 - one.x ** 2 - one.y ** 2) * (1 - other.x ** 2 - other.y ** 2);
  return Math.acosh(1 + (2 * gap) / room);
}

/** The nearest point that is well inside the disk; a pointer may be outside, a map needs a point inside. */
export function inside({ x, y }, rim = RIM) {
  const size = Math.hypot(x, y);
  return size <= rim ? { x, y } : { x: (x / size) * rim, y: (y / size) * rim };
}

/** The Euclidean circle {x, y, r} that is the hyperbolic circle about `centre` with hyperbolic `radius`. */
export function circle(centre, radius) {
  const t = Math.tanh(radius / 2),
    square = centre.x ** 2 + centre.y ** 2;
  const share = 1 - t * t * square;
  return { x: (centre.x * (1 - t * t)) / share, y: (centre.y * (1 - t * t)) / share, r: (t * (1 - square)) / share };
}
