"""The pure module, in the browser it is for: laws of isometries at random points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

LAWS = """async () => {
  const m = await import("/web/moebius.js");
  let seed = 7;
  const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
  const polar = (r, t) => ({ x: r * Math.cos(t), y: r * Math.sin(t) });
  const point = () => polar(0.97 * Math.sqrt(random()), 2 * Math.PI * random());
  const gap = (a, b) => Math.hypot(a.x - b.x, a.y - b.y);
  const centre = { x: 0, y: 0 }, worst = {};
  const note = (law, value) => { worst[law] = Math.max(worst[law] ?? 0, Math.abs(value)); };
  let all = m.IDENTITY;
  for (let n = 0; n < 400; n++) {
    const [a, b, p, q] = [point(), point(), point(), point()];
    const map = m.carry(a, b), apart = m.distance(a, b);
    note("distance", m.distance(m.apply(map, p), m.apply(map, q)) - m.distance(p, q));
    note("carried", gap(m.apply(map, a), b));
    note("inverse", gap(m.apply(m.inverse(map), m.apply(map, p)), p));
    note("to the centre", gap(m.apply(m.toCentre(a), a), centre));
    note("from the centre", gap(m.apply(m.fromCentre(a), centre), a));
    const half = m.midpoint(a, b);
    note("half way", m.distance(a, half) - apart / 2);
    note("half way back", m.distance(half, b) - apart / 2);
    note("all the way", gap(m.apply(m.partly(a, b, 1), a), b));
    note("a quarter", m.distance(a, m.apply(m.partly(a, b, 0.25), a)) - apart / 4);
    const ring = m.circle(a, 1.5), on = polar(ring.r, 7 * n);
    note("circle", m.distance(a, { x: ring.x + on.x, y: ring.y + on.y }) - 1.5);
    const outX = [0], outY = [0];
    m.applyAll(map, [p.x], [p.y], outX, outY);
    note("many", gap(m.apply(map, p), { x: outX[0], y: outY[0] }));
    all = m.compose(m.carry(centre, polar(0.3 * random(), n)), all);
    const size = all.ar ** 2 + all.ai ** 2;
    note("composed", (size - all.br ** 2 - all.bi ** 2 - 1) / size);
  }
  return worst;
}"""


@pytest.fixture
def worst(open_page: Callable[..., Any], address: str) -> dict[str, float]:
    return open_page(address).evaluate(LAWS)


def test_maps_keep_distances_and_do_what_they_say(worst: dict[str, float]) -> None:
    assert max(worst.values()) < 1e-6, worst
    assert len(worst) == 12
