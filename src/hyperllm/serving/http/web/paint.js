// Drawing a scene of the disk on a canvas.
//
// Knows strokes, marks and labels, and that things shrink towards the rim, as in the disk model. Draws thousands of
// points (points.js) below a few marks and names. Does not know gestures, addresses or where the scene came from; it
// changes nothing but the canvas.
//
// A scene: { width, height, ratio, middle: {x, y}, whole and radius (pixels of the unit disk at scale 1 and now), scale,
// map, colours, groups, items and tags with seen positions vx, vy, layer, lit, hover, stride, quiet }.

import { apply, circle, partly } from "./moebius.js";
import { colourOf } from "./palette.js";
import { packed } from "./points.js";

const RINGS = 6;
const RAYS = 12;

const SMALLEST_TAG = 2.3;

/** Everything, from the ground up. */
export function paint(context, scene) {
  context.setTransform(scene.ratio, 0, 0, scene.ratio, 0, 0);
  context.clearRect(0, 0, scene.width, scene.height);
  ground(context, scene);
  const dimmed = Boolean(
    scene.lit.user || scene.lit.history.length || scene.lit.recommended.length || scene.lit.focus || scene.lit.guest,
  );
  points(context, scene, dimmed);
  if (!scene.quiet) {
    for (const group of [...scene.groups].reverse())
      if (group.kind === "tags" && group.shown) squares(context, scene, group, dimmed);
    context.globalAlpha = 1;
    labels(context, scene);
  }
  lit(context, scene);
}

function ground(context, scene) {
  const { middle, radius, colours, map } = scene;
  context.beginPath();
  context.arc(middle.x, middle.y, radius, 0, 2 * Math.PI);
  context.fillStyle = colours.card;
  context.fill();
  context.strokeStyle = colours.grid;
  context.lineWidth = 1;
  const origin = apply(map, { x: 0, y: 0 });
  for (let ring = 1; ring <= RINGS; ring++) {
    const { x, y, r } = circle(origin, ring);
    context.beginPath();
    context.arc(middle.x + radius * x, middle.y - radius * y, radius * r, 0, 2 * Math.PI);
    context.stroke();
  }
  for (let ray = 0; ray < RAYS; ray++) {
    const angle = (2 * Math.PI * ray) / RAYS;
    context.beginPath();
    for (let step = 0; step <= RINGS * 2; step++) {
      const far = Math.tanh(step / 4);
      const { x, y } = apply(map, { x: far * Math.cos(angle), y: far * Math.sin(angle) });
      context.lineTo(middle.x + radius * x, middle.y - radius * y);
    }
    context.stroke();
  }
  context.beginPath();
  context.arc(middle.x, middle.y, radius, 0, 2 * Math.PI);
  context.strokeStyle = colours.soft;
  context.lineWidth = 1.25;
  context.stroke();
}

/** Items, group by group, on one layer: where points overlap, the layer does not grow darker. */
function points(context, scene, dimmed) {
  const {
    middle,
    radius,
    ratio,
    items: { vx, vy },
    stride,
    layer,
  } = scene;
  layer.start(context.canvas.width, context.canvas.height);
  const most = (vx.length > 8000 ? 2.4 : 3) * room(scene) * Math.min(2.2, Math.sqrt(scene.scale));
  for (const group of scene.groups) {
    if (group.kind !== "items" || !group.shown) continue;
    const colour = packed(colourOf(group, scene.colours));
    for (let at = 0; at < group.members.length; at += stride) {
      const index = group.members[at],
        x = vx[index],
        y = vy[index];
      layer.add(
        (middle.x + radius * x) * ratio,
        (middle.y - radius * y) * ratio,
        (0.55 + most * (1 - x * x - y * y)) * ratio,
        colour,
      );
    }
  }
  context.globalAlpha = dimmed
    ? 0.25
    : scene.groups.some((group) => group.kind === "items" && group.colour < 0)
      ? 0.5
      : 0.85;
  context.drawImage(layer.finish(), 0, 0, scene.width, scene.height);
  context.globalAlpha = 1;
}

/** How large a tag's mark is, in pixels from its middle to its edge. */
export function tagSize(scene, index) {
  const { vx, vy, wide } = scene.tags;
  const near = 1 - vx[index] ** 2 - vy[index] ** 2;
  return wide[index] * (0.25 + 0.75 * near) * room(scene) * Math.min(2.2, scene.scale ** 0.4);
}

/** Whether a tag is large enough to be drawn; nearer, it will be. */
export const tagSeen = (scene, index) => tagSize(scene, index) >= SMALLEST_TAG * room(scene);

/** Marks are smaller where the whole disk is. */
const room = ({ whole }) => Math.min(1, Math.max(0.5, whole / 320));

function squares(context, scene, group, dimmed) {
  const {
    middle,
    radius,
    width,
    height,
    tags: { vx, vy },
  } = scene;
  context.fillStyle = colourOf(group, scene.colours);
  context.strokeStyle = scene.colours.card;
  context.lineWidth = 1;
  context.globalAlpha = dimmed ? 0.4 : 0.95;
  for (const index of group.members) {
    if (!tagSeen(scene, index)) continue;
    const size = tagSize(scene, index);
    const px = middle.x + radius * vx[index],
      py = middle.y - radius * vy[index];
    if (px < -9 || py < -9 || px > width + 9 || py > height + 9) continue;
    context.fillRect(px - size, py - size, 2 * size, 2 * size);
    context.strokeRect(px - size - 0.5, py - size - 0.5, 2 * size + 1, 2 * size + 1);
  }
}

/** Names of tags, widest first, where there is room. */
function labels(context, scene) {
  const { middle, radius, width, height, colours, tags } = scene;
  const taken = scene.lit.recommended.concat(scene.lit.history).map((index) => {
    const px = middle.x + radius * scene.items.vx[index],
      py = middle.y - radius * scene.items.vy[index];
    return [px - 8, py - 8, px + 8, py + 8];
  });
  const most = Math.min(60, Math.round((width * height * Math.sqrt(scene.scale)) / 15000));
  let placed = 0;
  context.font = `600 12px ${FONT}`;
  context.textBaseline = "middle";
  context.textAlign = "center";
  context.lineJoin = "round";
  for (const index of tags.ordered) {
    if (placed >= most) break;
    if (!tags.shown[index]) continue;
    const size = tagSize(scene, index);
    if (size < 1.25 * SMALLEST_TAG * room(scene)) continue;
    const px = middle.x + radius * tags.vx[index],
      py = middle.y - radius * tags.vy[index] - size - 9;
    const half = measured(context, tags.name[index]) / 2 + 10;
    const box = [px - half, py - 12, px + half, py + 12];
    if (box[0] < 0 || box[1] < 0 || box[2] > width || box[3] > height || taken.some((other) => meets(box, other)))
      continue;
    taken.push(box);
    placed += 1;
    context.lineWidth = 4;
    context.strokeStyle = colours.card;
    context.strokeText(tags.name[index], px, py);
    context.fillStyle = colours.ink;
    context.fillText(tags.name[index], px, py);
  }
}

const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif";
const widths = new Map();

function measured(context, text) {
  if (!widths.has(text)) widths.set(text, context.measureText(text).width);
  return widths.get(text);
}

const meets = (a, b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];

/** What belongs to a user, and what is held or pointed at, above everything else. */
function lit(context, scene) {
  const { colours, map } = scene,
    shown = scene.lit;
  const at = ({ x, y }) => ({ x: scene.middle.x + scene.radius * x, y: scene.middle.y - scene.radius * y });
  const item = (index) => ({ x: scene.items.vx[index], y: scene.items.vy[index] });
  const own = shown.user ? apply(map, shown.user) : null;
  if (own) for (const index of shown.recommended) geodesic(context, own, item(index), at, colours.recommended);
  for (const index of shown.history) dot(context, at(item(index)), 5.5, colours.history, colours.card);
  shown.recommended.toReversed().forEach((index, place) => {
    const rank = shown.recommended.length - place,
      where = at(item(index));
    dot(context, where, 8.5, colours.recommended, colours.card);
    text(context, String(rank), where, colours.onMark);
  });
  if (own) diamond(context, at(own), 9, colours.ink, colours.card);
  if (shown.guest) diamond(context, at(apply(map, shown.guest)), 8, colours.history, colours.card);
  for (const [held, wide] of [
    [shown.focus, 2.5],
    [scene.hover, 1.5],
  ]) {
    if (!held) continue;
    const from = held.kind === "tag" ? scene.tags : scene.items;
    const where = held.kind === "user" ? own : { x: from.vx[held.index], y: from.vy[held.index] };
    if (!where) continue;
    if (held === shown.focus && !shown.recommended.includes(held.index))
      dot(context, at(where), 4.5, colours.focus, colours.card);
    ring(context, at(where), 11, wide, colours.focus);
  }
}

function geodesic(context, from, to, at, colour) {
  context.beginPath();
  for (let step = 0; step <= 20; step++) {
    const { x, y } = at(apply(partly(from, to, step / 20), from));
    context.lineTo(x, y);
  }
  context.globalAlpha = 0.45;
  context.strokeStyle = colour;
  context.lineWidth = 1.25;
  context.stroke();
  context.globalAlpha = 1;
}

function dot(context, { x, y }, size, colour, edge) {
  context.beginPath();
  context.arc(x, y, size, 0, 2 * Math.PI);
  context.fillStyle = colour;
  context.fill();
  context.strokeStyle = edge;
  context.lineWidth = 1.5;
  context.stroke();
}

function ring(context, { x, y }, size, wide, colour) {
  context.beginPath();
  context.arc(x, y, size, 0, 2 * Math.PI);
  context.strokeStyle = colour;
  context.lineWidth = wide;
  context.stroke();
}

function diamond(context, { x, y }, size, colour, edge) {
  context.beginPath();
  context.moveTo(x, y - size);
  context.lineTo(x + size, y);
  context.lineTo(x, y + size);
  context.lineTo(x - size, y);
  context.closePath();
  context.fillStyle = colour;
  context.fill();
  context.strokeStyle = edge;
  context.lineWidth = 2;
  context.stroke();
}

function text(context, words, { x, y }, colour) {
  context.font = `700 10px ${FONT}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillStyle = colour;
  context.fillText(words, x, y + 0.5);
}
