"""One model takes another's place while answers go on, and the server stops without losing any."""

from __future__ import annotations

import http.client
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from tests.serving.coherent import shop
from tests.serving.http.conftest import Client, train
from tests.serving.test_newcomers import new

from hyperllm import artifacts
from hyperllm.errors import ConfigError, Incomplete, ProviderUnavailable
from hyperllm.serving.additions import Additions, Taken
from hyperllm.serving.http import opening
from hyperllm.serving.http.app import create_app
from hyperllm.serving.http.run import Address, serve
from hyperllm.serving.http.settings import Settings
from hyperllm.serving.http.state import Live
from hyperllm.serving.index import ApproximateIndex
from hyperllm.serving.model import ScoreModel

ONE, OTHER = shop(), shop(flat=5)

SERVER = """
import sys
from pathlib import Path
from hyperllm.serving.http.run import Address, serve
from hyperllm.serving.http.settings import Settings
from hyperllm.serving.http.state import Live
serve(Live(Path(sys.argv[1])), Address(port=0), Settings(), say=lambda url: print(url, flush=True))
print("stopped", flush=True)
"""


def test_a_new_model_takes_over(live: Live, run: Path) -> None:
    before = live.current
    assert not live.look()
    train(run, OTHER.model)
    assert live.look()
    assert live.current.version != before.version
    assert live.current.swaps == 1
    assert before.recommender.recommend(["u00"], 3).item_ids  # who has the old one still gets its answers


def test_the_same_model_written_again_is_no_news(run: Path) -> None:
    train(run, ONE.model)
    live = Live(run)
    before = live.current
    train(run, ONE.model)
    assert not live.look()
    assert live.current is before


def test_a_broken_model_is_logged_once_counted_and_ignored(
    live: Live, run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = live.current
    train(run, OTHER.model)
    vectors = run / "model" / "item_vectors.npy"
    whole = vectors.read_bytes()
    vectors.write_bytes(whole[:-4])
    with caplog.at_level(logging.ERROR):
        assert not any(live.look() for _ in range(3))
    assert live.current is before
    assert len(caplog.records) == 1
    assert b"hyperllm_models_refused_total 1.0" in live.metrics.text()
    train(run, shop(unclicked=2).model)
    assert live.look()


def test_the_moment_without_a_folder_is_waited_out_and_nothing_is_put_back(
    live: Live, run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for folder in (run, run / "model"):
        aside = folder.with_name(f".{folder.name}.replaced")
        folder.rename(aside)
        assert not live.look()
        assert not folder.exists()
        with pytest.raises(Incomplete):
            opening.load(run / "model")
        assert not folder.exists()
        aside.rename(folder)
    assert not live.look()
    assert not caplog.records


def test_an_exported_model_that_vanishes_while_it_is_read_is_not_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "exported"
    ONE.model.save(folder)
    aside = folder.with_name(".exported.replaced")
    load = ScoreModel.load

    def slow(path: Path | str) -> ScoreModel:
        folder.rename(aside)
        return load(path)

    monkeypatch.setattr(ScoreModel, "load", slow)
    with pytest.raises(Incomplete, match="exported"):
        opening.load(folder)
    assert not folder.exists()


def test_files_of_two_models_never_mix(run: Path, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    before, load = live.current, ScoreModel.load
    train(run, OTHER.model)

    def slow(path: Path | str) -> ScoreModel:
        found = load(path)
        train(run, shop(unclicked=2).model)
        return found

    monkeypatch.setattr(ScoreModel, "load", slow)
    assert not live.look()
    assert live.current is before
    monkeypatch.undo()
    assert live.look()


def test_the_watcher_outlives_a_broken_file_of_added_items(
    live: Live, run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    live.watch(every_s=0.02)
    run.with_name("mine.added.sqlite").write_bytes(b"this is no database, only some text that is long enough")
    _wait(lambda: "the added items cannot be read" in caplog.text)
    run.with_name("mine.added.sqlite").unlink()
    before = live.current.version
    train(run, OTHER.model)
    _wait(lambda: live.current.version != before)
    live.stop()


def test_no_run_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(Incomplete, match="nothing"):
        Live(tmp_path / "nothing")


def test_a_port_in_use_is_an_error_that_says_so(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} of '127.0.0.1' is in use"):
            serve(live, Address(port=port), Settings())
    assert not caplog.records
    with socket.create_server(("0.0.0.0", 0)) as taken, pytest.raises(ConfigError):
        serve(live, Address("0.0.0.0", taken.getsockname()[1]), Settings())
    assert "set an API key" in caplog.text
    with pytest.raises(ConfigError, match="cannot be listened to"):
        serve(live, Address("203.0.113.1", 8000), Settings())


def test_its_own_name_is_allowed() -> None:
    assert Address("192.0.2.7").settings(Settings()).hosts == ("192.0.2.7",)
    assert Address("2001:db8::1").settings(Settings(hosts=("x",))).hosts == ("x", "[2001:db8::1]")
    assert Address("0.0.0.0").settings(Settings()).hosts == Address().settings(Settings()).hosts == ()


@pytest.fixture
def server(run: Path) -> Generator[tuple[subprocess.Popen[str], int]]:
    """A real server of the run, and its port."""
    train(run, ONE.model)
    command = [sys.executable, "-W", "error", "-c", SERVER, str(run)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline().rstrip("/\n").rpartition(":")[2])
        finally:
            process.kill()


def test_no_answer_is_lost_or_mixed_while_models_are_swapped(
    server: tuple[subprocess.Popen[str], int], run: Path
) -> None:
    process, port = server
    models = {"one": ONE.model, "other": OTHER.model}
    lists = {name: _lists(run.parent / name, model) for name, model in models.items()}
    stop, failures, versions = threading.Event(), list[str](), set[str]()

    def load(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        while not stop.is_set():
            number = (number + 7) % 80
            connection.request("GET", f"/recommend?user=u{number:02}&k=5")
            answer = connection.getresponse()
            told = json.loads(answer.read())
            if answer.status != 200 or (told["version"], told["items"]) not in lists_of[number]:
                failures.append(f"{answer.status} {told}")
            versions.add(told["version"])
        connection.close()

    lists_of = [[(version, items[user]) for version, items in lists.values()] for user in range(80)]
    threads = [threading.Thread(target=load, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for name in ("other", "one", "other"):
        train(run, models[name])
        _wait(lambda name=name: _health(port)["version"] == lists[name][0])
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert versions == {version for version, _ in lists.values()}
    assert _health(port)["swaps"] == 3
    assert process.poll() is None


def test_a_request_in_flight_is_answered_before_the_end(server: tuple[subprocess.Popen[str], int]) -> None:
    process, port = server
    body = json.dumps({"users": ["u00"], "k": 3}).encode()
    head = ("POST /recommend HTTP/1.1", "Host: localhost", "Content-Type: application/json", "Expect: 100-continue")
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall("\r\n".join((*head, f"Content-Length: {len(body)}", "", "")).encode())
        assert client.recv(65_536).startswith(b"HTTP/1.1 100")  # now it waits for the body
        process.send_signal(signal.SIGTERM)
        _wait(lambda: not _accepts(port))
        client.sendall(body)
        answer = client.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 200")
    assert process.wait(20) == 0
    assert process.stdout is not None
    assert process.stdout.read() == "stopped\n"


def _lists(folder: Path, model: ScoreModel) -> tuple[str, list[object]]:
    """The version of a model, and five items for each user as its own server gives them."""
    train(folder, model)
    client = Client(create_app(Live(folder)))
    users = [f"u{n:02}" for n in range(80)]
    told = client.post("/recommend", {"users": users, "k": 5}).json()
    return told["version"], [each["items"] for each in told["results"]]


def _health(port: int) -> dict[str, object]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", "/health")
    told = json.loads(connection.getresponse().read())
    connection.close()
    return told


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _wait(until: object, within_s: float = 20.0) -> None:
    end = time.monotonic() + within_s
    while not until():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def test_a_run_is_recognised_by_its_manifest(run: Path) -> None:
    assert opening.place(run) == run / "model"
    assert opening.place(run / "model") == run / "model"
    assert artifacts.peek(run) is not None


def test_an_index_ranks_until_a_new_model_has_none(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("usearch", reason="the extra ann is not installed")
    with pytest.raises(Incomplete, match="index"):
        Live(run, approximate=True)
    ApproximateIndex.build(ScoreModel.load(run / "model")).save(run / "index")
    live = Live(run, approximate=True)
    assert live.current.recommender.index is not None
    assert live.current.ranked([0, 3], 5, seen=False) == Live(run).current.ranked([0, 3], 5, seen=False)
    train(run, OTHER.model)
    with caplog.at_level(logging.WARNING):
        assert live.look()
    assert live.current.recommender.index is None
    assert "ranked exactly" in caplog.text


def test_items_added_one_by_one_answer_as_after_a_restart(run: Path) -> None:
    live = Live(run)
    for n in range(6):
        live.place(new({"item_id": f"n{n}", "title": f"Lipstick {n}", "categories": ["Makeup"]}), keep=True)
    again = Live(run)
    assert again.current.version == live.current.version
    for (items, scores), (kept, told) in zip(
        again.current.ranked([0, 3], 9, seen=False), live.current.ranked([0, 3], 9, seen=False), strict=True
    ):
        assert set(items) == set(kept)  # places are made in batches of other sizes, which round otherwise
        assert scores == pytest.approx(told, rel=1e-3)  # of equally near neighbours rounding chooses


def test_of_two_servers_one_gets_the_id(run: Path) -> None:
    one, other = Live(run), Live(run)
    one.place(new({"item_id": "n1", "title": "Lipstick A"}), keep=True)
    with pytest.raises(Taken, match="added before"):
        other.place(new({"item_id": "n1", "title": "Lipstick B"}), keep=True)
    assert other.look()
    assert other.current.version == one.current.version


def test_a_damaged_file_of_added_items_does_not_keep_a_new_model_out(
    run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    live = Live(run)
    live.place(new({"item_id": "n1", "title": "Lipstick A"}), keep=True)
    path = Additions.beside(run).path
    for log in path.parent.glob(f"{path.name}-*"):
        log.unlink()
    whole = path.read_bytes()
    path.write_bytes(b"no database, but long enough to be looked at" * 20)
    train(run, OTHER.model)
    with caplog.at_level(logging.ERROR):
        assert live.look()
    assert live.current.added == 0
    assert "without the added items" in caplog.text
    path.write_bytes(whole)
    assert live.look()
    assert live.current.added == 1


def test_an_item_placed_without_the_encoder_stays(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> None:
        raise ProviderUnavailable("no encoder here")

    monkeypatch.setattr("hyperllm.serving.newcomers.make_encoder", gone)
    live = Live(run)
    live.place(new({"item_id": "n1", "title": "Lipstick A", "categories": ["Makeup", "Lipstick"]}), keep=True)
    version = live.current.version
    live.look()
    assert live.current.version == version
    assert "n1" in Live(run).current.recommender.items
