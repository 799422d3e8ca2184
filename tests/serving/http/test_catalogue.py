"""What there is, found and shown: users, items, tags, the disk, and items that join."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.serving.coherent import shop
from tests.serving.http.conftest import Client, Make, train

from hyperllm.serving.http.app import create_app
from hyperllm.serving.http.state import Live

NEW = {"item_id": "n1", "title": "Lipstick, coral", "categories": ["Beauty", "Makeup", "Lipstick"], "brand": "Glow"}


def test_search_puts_the_equal_id_first_and_then_the_most_clicked(client: Client, live: Live) -> None:
    found = client.get("/items?query=THING&limit=100").json()["items"]
    clicks = [item["clicks"] for item in found]
    assert len(found) == 42
    assert clicks == sorted(clicks, reverse=True)
    assert client.get("/items?query=i07").json()["items"][0]["item_id"] == "i07"
    assert client.get("/items?query=%3CSCRIPT").json()["items"][0]["item_id"] == "i00"
    users = client.get("/users?query=u1&limit=3").json()["users"]
    assert len(users) == 3
    assert all(user["user_id"].startswith("u1") and user["clicks"] == 7 for user in users)
    assert client.get("/users?query=nobody").json()["users"] == []


def test_a_user_and_an_item(client: Client, live: Live) -> None:
    told = client.get("/users/u05").json()
    assert [item["item_id"] for item in told["history"]] == live.current.recommender.history("u05")
    card = client.get("/items/i30").json()
    assert card["tags"][0]["name"]
    assert card["radius"] > 0
    assert card["added"] is False


def test_the_tags_can_be_walked_down(client: Client) -> None:
    roots = client.get("/tags").json()["tags"]
    assert roots
    below = client.get("/tags", params={"parent": roots[0]["tag_id"]}).json()["tags"]
    assert len(below) == roots[0]["children"] > 0
    tag = client.get(f"/tags/{below[0]['tag_id']}").json()
    assert roots[0]["tag_id"] in [parent["tag_id"] for parent in tag["parents"]]
    assert client.get("/tags?query=LIPSTICK").json()["tags"][0]["name"].lower() == "lipstick"
    leaf = client.get("/tags?query=lipstick").json()["tags"][0]
    assert leaf["items"] == len(client.get(f"/tags/{leaf['tag_id']}").json()["items"]) > 0


def test_the_disk_is_inside_the_unit_circle(client: Client) -> None:
    disk = client.get("/disk").json()
    assert len(disk["items"]["id"]) == 48
    assert all(x**2 + y**2 < 1 for x, y in zip(disk["items"]["x"], disk["items"]["y"], strict=True))
    user = client.get("/disk/users/u05").json()
    assert user["x"] ** 2 + user["y"] ** 2 < 1


def test_a_flat_model_has_no_disk(tmp_path: Path) -> None:
    train(tmp_path / "mine", shop("inner").model)
    client = Client(create_app(Live(tmp_path / "mine")))
    assert client.get("/disk").status_code == client.get("/disk/users/u00").status_code == 404
    assert client.post("/items", {"items": [NEW], "keep": False}).json()["items"][0]["x"] is None


def test_a_new_item_is_shown_kept_and_survives_restart_and_training(client: Client, live: Live, run: Path) -> None:
    shown = client.post("/items", {"items": [NEW], "keep": False})
    assert shown.status_code == 200
    (item,) = shown.json()["items"]
    assert "Lipstick" in [tag["name"] for tag in item["tags"]]
    assert item["near"]
    assert item["x"] ** 2 + item["y"] ** 2 < 1
    assert client.get("/items/n1").status_code == 404

    before = client.get("/health").json()["version"]
    kept = client.post("/items", {"items": [{**NEW, "item_id": "n2"}, NEW]})
    assert kept.status_code == 201
    assert [each["item_id"] for each in kept.json()["items"]] == ["n2", "n1"]
    assert kept.json()["version"] != before
    assert client.get("/items/n1").json()["added"] is True
    assert client.get("/health").json()["added"] == 2
    assert client.post("/items", {"items": [NEW]}).status_code == 409
    assert client.get("/recommend?user=u00&only=n1").json()["items"][0]["item_id"] == "n1"

    again = Live(run)
    assert again.current.version == live.current.version
    train(run, shop(flat=5).model)
    assert again.look()
    assert again.current.added == 2
    assert again.current.swaps == 1


def test_items_added_by_another_program_appear(live: Live, run: Path) -> None:
    other = Live(run)
    Client(create_app(other)).post("/items", {"items": [NEW]})
    assert live.look()
    assert live.current.version == other.current.version
    assert live.current.swaps == 0
    assert not live.look()


@pytest.mark.parametrize("items", [[NEW, NEW], [{**NEW, "title": "  "}], [{**NEW, "item_id": "a\nb"}], []])
def test_items_that_cannot_be_meant_are_refused(client: Client, items: list[object]) -> None:
    assert client.post("/items", {"items": items}).status_code == 422


def test_the_page_is_served_file_by_file(make: Make) -> None:
    client = make(api_keys=("a-long-secret",))
    page = client.get("/")
    if page.status_code == 404:
        pytest.skip("the page is not installed")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-cache"
    assert client.get("/", headers={"If-None-Match": page.headers["etag"]}).status_code == 304
    script = client.get("/web/app.js")
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert client.get("/web/nothing.js").status_code == 404


def test_the_list_of_files_is_what_is_on_disk() -> None:
    from hyperllm.serving.http import about

    folder = Path(about.__file__).with_name("web")
    assert set(about.FILES) == {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def test_an_added_item_can_be_taken_out_and_a_trained_one_cannot(client: Client) -> None:
    assert client.post("/items", {"items": [{"item_id": "n/1", "title": "Lipstick number 9"}]}).status_code == 201
    assert client.get("/items/n/1").status_code == 200
    gone = client("DELETE", "/items/n/1")
    assert gone.status_code == 200
    assert client.get("/items/n/1").status_code == 404
    assert client("DELETE", "/items/n/1").status_code == 404
    assert client("DELETE", "/items/i00").status_code == 409
    near = client.get("/similar?item=i12&k=30&category=Makeup&exclude=i30&exclude=unheard").json()["items"]
    assert near
    assert all("Makeup" in item["categories"] and item["item_id"] != "i30" for item in near)
