"""The picture is one well-formed SVG in which titles are text."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import polars as pl
import pytest
from tests.serving.coherent import shop

from hyperllm.data.catalog import Catalog
from hyperllm.errors import UnknownId
from hyperllm.serving.picture import Picture
from hyperllm.serving.recommender import Recommender

SVG = "{http://www.w3.org/2000/svg}"


def test_everything_is_drawn() -> None:
    us = Recommender(shop().model)
    root = ElementTree.fromstring(us.picture("u03", k=4).svg())
    titles = [node.text for node in root.iter(f"{SVG}title")]
    assert sum(title in us.model.titles for title in titles if title) == 48 + 7 + 4
    signs = "".join(node.text or "" for node in root.iter(f"{SVG}text"))
    assert (signs.count("◆"), signs.count("★"), signs.count("✚")) == (7, 4, 1)
    assert {"Hair", "Makeup"} <= {node.text for node in root.iter(f"{SVG}text")}


def test_hostile_titles_are_text(tmp_path: Path) -> None:
    bad = "</title><script>alert(1)</script>\"'&"
    model = shop().model
    frame = model.catalog.frame.with_columns(title=pl.lit(bad), categories=pl.lit([bad, "x"]))
    us = Recommender(type(model)(**{**vars_of(model), "catalog": Catalog(model.items, frame)}))
    picture = us.picture("u01")
    assert "<script" not in picture._repr_html_()
    picture.save(tmp_path / "disk.svg")
    root = ElementTree.parse(tmp_path / "disk.svg").getroot()
    assert root is not None
    assert bad in {node.text for node in root.iter(f"{SVG}title")}


def vars_of(model: object) -> dict[str, object]:
    return {name: getattr(model, name) for name in type(model).__dataclass_fields__}  # type: ignore[attr-defined]


def test_without_anybody_nothing_is_lit_up() -> None:
    us = Recommender(shop().model)
    assert "◆" not in us.picture().svg()
    assert "history" not in us.picture()._repr_html_()
    assert "Poincaré" in Picture(us.disk).svg()
    with pytest.raises(UnknownId):
        us.picture("nobody")
