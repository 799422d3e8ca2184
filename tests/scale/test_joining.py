"""Ray is an extra, and ``--ray`` an option whose value may be left out."""

from __future__ import annotations

import socket
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import pytest

from hyperllm.cli.app import main
from hyperllm.cli.cluster import spelled_out
from hyperllm.errors import ConfigError, HyperLLMError
from hyperllm.scale.cluster import Cluster, joined


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["extract", "shop", "--ray"], ["extract", "shop", "--ray", "here"]),
        (["extract", "--ray", "shop"], ["extract", "--ray", "here", "shop"]),
        (["extract", "shop", "--ray", "--llm", "x"], ["extract", "shop", "--ray", "here", "--llm", "x"]),
        (["extract", "shop", "--ray", "auto"], ["extract", "shop", "--ray", "auto"]),
        (["tune", "shop", "--ray", "10.0.0.1:6379"], ["tune", "shop", "--ray", "10.0.0.1:6379"]),
        (["tune", "shop", "--ray", "ray://head:10001"], ["tune", "shop", "--ray", "ray://head:10001"]),
        (["tune", "shop", "--ray=auto"], ["tune", "shop", "--ray=auto"]),
    ],
)
def test_an_address_may_be_left_out(words: list[str], said: list[str]) -> None:
    assert spelled_out(words) == said


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'hyperllm\[ray\]'"), joined():
        pass


@pytest.mark.parametrize("failing", [1, 2])
def test_ray_is_started_again_where_it_did_not_start(failing: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def init(**options: object) -> None:
        tried.append(str(options["address"]))
        if len(tried) <= failing:
            raise Exception("The current node timed out during startup.\nMore of it")

    node = SimpleNamespace(get_node_id=lambda: "here")
    fake = SimpleNamespace(
        is_initialized=lambda: False,
        init=init,
        shutdown=lambda: None,
        cluster_resources=lambda: {"CPU": 2},
        nodes=lambda: [{"Alive": True, "Resources": {"CPU": 2.0}}, {"Alive": False, "Resources": {"CPU": 9.0}}],
        get_runtime_context=lambda: node,
    )
    monkeypatch.setitem(sys.modules, "ray", fake)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if failing == 2:
        with (
            pytest.raises(HyperLLMError, match=r"did not start .*\(The current node timed out during startup\.\)"),
            joined(),
        ):
            pass
    else:
        with joined() as cluster:
            assert cluster == Cluster(cpus=2, gpus=0, node="here", machines=((2, 0),))
    assert tried == ["local", "local"]


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'hyperllm[ray]'")
def test_an_address_where_nobody_listens_is_told_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ConfigError, match=rf"no Ray answers at '127.0.0.1:{port}'"), joined(f"127.0.0.1:{port}"):
        pass


def test_a_few_users_need_no_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recommend", "shop", "run", "--users", "u1", "--ray"]) == 2
    assert "--ray is for --all" in capsys.readouterr().err


def test_a_process_a_processor_and_no_more_than_are_wanted() -> None:
    cluster = Cluster(cpus=4, gpus=0, node="here")
    assert [cluster.workers(most) for most in (1, 3, 100)] == [1, 3, 4]
    assert Cluster(cpus=4, gpus=0, node="here", memory_bytes=1000).workers(9, bytes_each=400) == 2
    assert Cluster(cpus=4, gpus=0, node="here", memory_bytes=100).workers(9, bytes_each=400) == 1
