"""Lists over HTTP are those of the recommender, whatever company they are asked in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.serving.coherent import shop
from tests.serving.http.conftest import HOSTILE, Client, Make, train

from hyperllm.serving.arrange import Order
from hyperllm.serving.http.app import create_app
from hyperllm.serving.http.remembered import Remembered
from hyperllm.serving.http.state import Live
from hyperllm.serving.recommender import Recommender
from hyperllm.serving.selection import Filter


@pytest.fixture(params=["lorentz", "fused", "inner"])
def any_client(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Client, Recommender]:
    """A server of each kind of model, and the same model in Python."""
    made = shop("inner") if request.param == "inner" else shop(flat=5 if request.param == "fused" else 0)
    train(tmp_path / "mine", made.model)
    return Client(create_app(Live(tmp_path / "mine"))), Recommender.load(tmp_path / "mine")


def shown(items: list[dict[str, object]]) -> list[tuple[object, object, object]]:
    return [(item["item_id"], item["rank"], item["score"]) for item in items]


def test_plain_lists_equal_the_recommenders_in_any_company(any_client: tuple[Client, Recommender]) -> None:
    client, recommender = any_client
    asked = [(user, k, seen) for user in recommender.users.ids[:40] for k in (1, 7, 100) for seen in ("false", "true")]
    answers = client.together([("GET", f"/recommend?user={u}&k={k}&seen={seen}", {}) for u, k, seen in asked])
    for (user, k, seen), answer in zip(asked, answers, strict=True):
        found = recommender.recommend([user], k, filter_seen=seen == "false")
        assert answer.status_code == 200
        assert answer.json()["user"] == user
        assert shown(answer.json()["items"]) == [(row.item_id, row.rank, row.score) for row in found]


def test_an_entry_says_what_the_catalogue_knows(client: Client, live: Live) -> None:
    (first, *_) = client.get("/recommend?user=u00&k=1").json()["items"]
    told = live.current.recommender.describe(first["item_id"])
    assert first["title"] == told.title
    assert first["brand"] == told.brand
    assert first["categories"] == list(told.categories)


def test_wishes_reach_the_recommender(client: Client, live: Live) -> None:
    shop_ = live.current.recommender
    queries = {
        "category=Makeup&k=5": {"filter": Filter(categories=("Makeup",))},
        "tag=brush&tag=Lipstick&k=5": {"filter": Filter(tags=("Brush", "Lipstick"))},
        "only=i07&only=i08&only=i30": {"filter": Filter(allow=("i07", "i08", "i30"))},
        "exclude=i07&exclude=i08&seen=true": {"filter": Filter(deny=("i07", "i08")), "filter_seen": False},
        "diversity=0.7&k=6": {"order": Order(diversity=0.7)},
        "breadth=-1&by=level&k=6": {"order": Order(breadth=-1, by="level")},
    }
    for query, wishes in queries.items():
        k = int(query.partition("k=")[2] or 10)
        found = shop_.recommend(["u05"], k, **wishes)
        answer = client.get(f"/recommend?user=u05&{query}").json()
        assert shown(answer["items"]) == [(row.item_id, row.rank, row.score) for row in found], query


def test_many_users_at_once_get_their_lists_in_order(client: Client) -> None:
    users = ["u09", "u02", "u09", "u33"]
    one = {user: client.get(f"/recommend?user={user}&k=4").json()["items"] for user in users}
    for wishes in ({}, {"exclude": ["i47"]}):
        many = client.post("/recommend", {"users": users, "k": 4, **wishes}).json()["results"]
        assert [each["user"] for each in many] == users
        assert [shown(each["items"]) for each in many] == [shown(one[user]) for user in users]


def test_reasons_on_request_and_beside_it(client: Client) -> None:
    (first, *_) = client.get("/recommend?user=u03&k=2&explain=true").json()["items"]
    reasons = first["reasons"]
    assert set(reasons) == {
        "item_id", "title", "score", "parts", "distance", "path", "path_items", "nearest"
    }  # fmt: skip
    assert all(near["effect"] > 0 for near in reasons["nearest"])
    alone = client.get(f"/explain?user=u03&item={first['item_id']}").json()
    assert [near["item_id"] for near in alone["nearest"]] == [near["item_id"] for near in reasons["nearest"]]
    assert [near["effect"] for near in alone["nearest"]] == pytest.approx([n["effect"] for n in reasons["nearest"]])
    assert {key: alone[key] for key in reasons if key != "nearest"} == {
        k: reasons[k] for k in reasons if k != "nearest"
    }
    both = client.post(
        "/explain", {"pairs": [{"user": "u03", "item": first["item_id"]}, {"user": "u04", "item": "i01"}]}
    )
    assert [each["user"] for each in both.json()["results"]] == ["u03", "u04"]
    assert both.json()["results"][0] == {key: value for key, value in alone.items() if key != "version"}


def test_guests_and_neighbours(client: Client, live: Live) -> None:
    shop_ = live.current.recommender
    guest = client.post("/fold-in", {"histories": {"me": ["i07", "i08"], "you": []}, "k": 3}).json()["results"]
    found = shop_.fold_in({"me": ["i07", "i08"], "you": []}, 3)
    assert [each["user"] for each in guest] == ["me", "you"]
    assert shown(guest[0]["items"]) == [(row.item_id, row.rank, row.score) for row in found.of("me")]
    near = client.get("/similar?item=i07&k=3").json()
    assert shown(near["items"]) == [(row.item_id, row.rank, row.score) for row in shop_.similar(["i07"], 3)]
    many = client.post("/similar", {"items": ["i09", "i07", "i09"], "k": 3}).json()["results"]
    assert [each["item"] for each in many] == ["i09", "i07", "i09"]
    assert many[1]["items"] == near["items"]


def test_hostile_titles_stay_text(client: Client) -> None:
    items = {}
    for path in ("/similar?item=i06&k=47", "/items?limit=100", "/recommend?user=u00&k=48&seen=true"):
        answer = client.get(path)
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        items |= {item["item_id"]: item["title"] for item in json.loads(answer.content.decode("utf-8"))["items"]}
    assert {item: items[item] for item in HOSTILE} == HOSTILE
    assert client.get("/items/i00").json()["title"] == HOSTILE["i00"]


def test_what_would_take_minutes_is_refused(client: Client) -> None:
    users = [f"u{n:02}" for n in range(80)] * 12
    for body in (
        {"users": users, "k": 1000},
        {"users": users[:200], "k": 10, "explain": True},
        {"users": users[:1], "k": 500, "diversity": 0.5},
        {"users": users[:101], "k": 1, "explain": True},
    ):
        answer = client.post("/recommend", body)
        assert answer.status_code == 422
        assert "fewer" in answer.json()["error"]
    histories = {f"guest {n}": ["i07"] * 1_000 for n in range(11)}
    assert client.post("/fold-in", {"histories": histories, "k": 1}).status_code == 200
    assert client.post("/fold-in", {"histories": histories, "k": 1, "explain": True}).status_code == 422


def test_more_than_may_wait_is_told_to_come_back(make: Make) -> None:
    client = make(waiting=3)
    answers = client.together([("GET", f"/recommend?user=u{n:02}", {}) for n in range(40)])
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 503}
    refused = answers[statuses.index(503)]
    assert refused.headers["retry-after"] == "1"
    assert client.get("/recommend?user=u00").status_code == 200


def test_a_list_is_remembered_while_the_model_stays_the_same(client: Client, live: Live, run: Path) -> None:
    def ask() -> str:
        return client.get("/recommend?user=u00&k=9").text

    first = ask()
    assert ask() == first
    assert b"hyperllm_lists_remembered_total 1.0" in live.metrics.text()
    assert b"hyperllm_batch_size_count 1.0" in live.metrics.text()
    client.post("/items", {"items": [{"item_id": "n1", "title": "Lipstick"}]})
    second = ask()
    assert second != first
    train(run, shop(flat=5).model)
    assert live.look()
    assert ask() not in (first, second)
    assert b"hyperllm_batch_size_count 3.0" in live.metrics.text()


def test_what_is_remembered_is_bounded() -> None:
    one, other, kept = object(), object(), Remembered(10_000)
    assert kept.get(one, 0) is None
    for number in range(100):
        kept.put(one, number, bytes(700))
    assert [number for number in range(100) if kept.get(one, number)] == list(range(90, 100))
    kept.get(one, 90)
    kept.put(one, 100, bytes(700))
    assert kept.get(one, 90)
    assert not kept.get(one, 91)
    kept.put(one, 101, bytes(20_000))
    assert not any(kept.get(one, number) for number in range(102))
    assert kept.get(other, 100) is None
    kept.put(one, 100, b"late")
    assert kept.get(other, 100) is None
