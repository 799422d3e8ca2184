"""Versions and tags, counters, the report, and a description that is true."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from tests.serving.coherent import shop
from tests.serving.http.conftest import Client, Make, train

from hyperllm.experiments.serving import report
from hyperllm.serving.http.app import create_app
from hyperllm.serving.http.schemas import RecommendOne
from hyperllm.serving.http.settings import Settings
from hyperllm.serving.http.state import Live

GETS = (
    "/health", "/recommend?user=u00", "/similar?item=i00", "/explain?user=u00&item=i01", "/users", "/users/u00",
    "/items", "/items/i00", "/tags", "/disk", "/disk/users/u00", "/report",
)  # fmt: skip


def test_an_answer_is_asked_for_again_only_when_the_model_changed(client: Client, live: Live, run: Path) -> None:
    tags = {path: client.get(path).headers["etag"] for path in GETS}
    for path, tag in tags.items():
        again = client.get(path, headers={"If-None-Match": f'W/{tag}, "other"'})
        assert again.status_code == 304, path
        assert again.content == b""
    assert {client.get(path).json()["version"] for path in GETS} == {live.current.version}
    train(run, shop(flat=5).model)
    assert live.look()
    for path, tag in tags.items():
        assert client.get(path, headers={"If-None-Match": tag}).status_code == 200, path


def test_304_comes_before_any_work(client: Client, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    tag = client.get("/recommend?user=u00").headers["etag"]
    monkeypatch.setattr(type(live.current), "ranked", lambda *_, **__: pytest.fail("it worked"))
    assert client.get("/recommend?user=u00", headers={"If-None-Match": tag}).status_code == 304


def test_counters_speak_of_routes_and_not_of_paths(client: Client, live: Live, run: Path) -> None:
    for path in ("/recommend?user=u00", "/recommend?user=nobody", "/items/i00", "/items/i01", "/secret-path"):
        client.get(path)
    (run / "model" / "item_vectors.npy").write_bytes(b"broken")
    text = client.get("/metrics").text
    for line in (
        'hyperllm_requests_total{method="GET",route="/recommend",status="200"} 1.0',
        'hyperllm_requests_total{method="GET",route="/recommend",status="404"} 1.0',
        'hyperllm_requests_total{method="GET",route="/items/{item_id:path}",status="200"} 2.0',
        'hyperllm_requests_total{method="GET",route="none",status="404"} 1.0',
        f'hyperllm_model_info{{run="mine",version="{live.current.version}"}} 1.0',
        "hyperllm_batch_size_count 1.0",
        "hyperllm_swaps_total 0.0",
        "hyperllm_models_refused_total 0.0",
        "hyperllm_added_items 0.0",
    ):
        assert line in text, line
    assert "secret-path" not in text


def test_the_report_tells_of_the_run(run: Path) -> None:
    evaluation = run / "evaluations" / "test-train"
    evaluation.mkdir(parents=True)
    (evaluation / "metrics.json").write_text('{"metrics": {"recall@10": 0.1, "odd": NaN}}')
    told = Client(create_app(Live(run, report=lambda: report(run)))).get("/report").json()
    assert told["settings"] == {"dim": 6}
    assert told["phases"] == {"phase 1": {"epochs": 3}}
    assert told["metrics"] == {"test-train": {"recall@10": 0.1, "odd": None}}
    assert told["sizes"]["items"] == 48
    assert told["sizes"]["model_bytes"] > 0


def test_an_exported_model_has_an_empty_report(tmp_path: Path) -> None:
    shop().model.save(tmp_path / "exported")
    live = Live(tmp_path / "exported", report=lambda: report(tmp_path / "exported"))
    told = Client(create_app(live)).get("/report").json()
    assert told["phases"] == told["metrics"] == {}
    assert told["run"] == "exported"


def test_every_route_is_described(client: Client) -> None:
    told = client.get("/openapi.json").json()
    assert set(told["paths"]) == {
        "/recommend", "/fold-in", "/similar", "/explain", "/users", "/users/{user_id}", "/items", "/items/{item_id}",
        "/tags", "/tags/{tag_id}", "/disk", "/disk/users/{user_id}", "/health", "/report", "/metrics",
    }  # fmt: skip
    for path, methods in told["paths"].items():
        for method, route in methods.items():
            assert route["summary"], (method, path)
            assert route["description"], (method, path)
            assert all(parameter.get("description") for parameter in route.get("parameters", ())), (method, path)
            assert {"401", "404", "422", "429", "500", "503"} <= set(route["responses"])
    names = [parameter["name"] for parameter in told["paths"]["/recommend"]["get"]["parameters"]]
    assert set(names) == set(RecommendOne.model_fields)
    assert client.get("/docs").status_code == client.get("/redoc").status_code == 404


def test_the_empty_route_is_there_only_for_the_benchmark(client: Client, make: Make) -> None:
    assert client.get("/empty").status_code == 404
    assert make(empty_route=True).get("/empty").content == b"{}"


@pytest.fixture
def schema(live: Live) -> Any:
    """The description as a test generator reads it."""
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    return schemathesis.openapi.from_asgi("/openapi.json", create_app(live, Settings(hosts=("testserver",))))


@pytest.mark.filterwarnings("default")
def test_any_request_is_answered_as_described(schema: Any) -> None:
    from schemathesis import checks

    wanted = [
        checks.not_a_server_error,
        *checks.CHECKS.get_by_names(
            ["status_code_conformance", "content_type_conformance", "response_schema_conformance"]
        ),
    ]
    reached = {operation.ok().label: _reached(operation.ok(), wanted) for operation in schema.get_all_operations()}
    missed = [label for label, found in reached.items() if 2 not in found]
    assert missed == ["DELETE /items/{item_id}"]  # none was added


def _reached(operation: Any, wanted: list[Any]) -> set[int]:
    """Hundreds of the statuses of 40 requests, half of which name what is there."""
    from hypothesis import Phase, given, seed, settings
    from hypothesis import strategies as st

    found: set[int] = set()

    @seed(0)
    @settings(max_examples=40, phases=[Phase.explicit, Phase.generate], database=None)
    @given(case=operation.as_strategy(), known=st.booleans())
    def answered(case: Any, known: bool) -> None:
        if known:
            name_what_is_there(case)
        found.add(case.call_and_validate(checks=wanted).status_code // 100)

    answered()
    return found


def name_what_is_there(case: Any) -> None:
    """Put ids of the shop where a generated request has ids, so that it gets past the lookup."""
    there = {"user": "u03", "item": "i20", "user_id": "u03", "item_id": "i20", "tag_id": "t1", "parent": "t1"}
    for part in (case.query, case.path_parameters):
        for name in set(part or ()) & set(there):
            part[name] = there[name]
    for name in ("category", "tag", "only", "exclude"):
        (case.query or {}).pop(name, None)
        if isinstance(case.body, dict):
            case.body.pop(name, None)
    if isinstance(case.body, dict):
        new = {"item_id": "n1", "title": "Lipstick number 9"}
        lists = {"users": ["u03"], "histories": {"guest": ["i20", "i21"]}, "pairs": [{"user": "u03", "item": "i20"}]}
        lists["items"] = [new] if case.operation.path == "/items" else ["i20"]
        case.body.update({name: value for name, value in lists.items() if name in case.body})
        if "keep" in case.body or case.operation.path == "/items":
            case.body["keep"] = False


def test_without_the_extra_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from hyperllm.cli.app import main

    for name in [name for name in sys.modules if name.startswith("hyperllm.serving.http")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    assert main(["serve", "nowhere", "nothing"]) == 2
    assert "pip install 'hyperllm[serve]'" in capsys.readouterr().err
