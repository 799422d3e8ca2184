"""What every command promises: exit codes, one JSON document, one paragraph of error, help."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.cli.conftest import Command

import hyperllm as package
from hyperllm.artifacts import MANIFEST
from hyperllm.cli import app as room

COMMANDS = {
    *("prepare", "extract", "embed", "train", "evaluate", "compare", "export", "recommend", "similar"),
    *(
        "explain",
        "fold-in",
        "add-items",
        "remove-items",
        "index",
        "serve",
        "run",
        "tune",
        "paper",
        "demo",
        "doctor",
        "data",
    ),
}


def test_without_a_word_it_shows_help(hyperllm: Command) -> None:
    ended = hyperllm()
    assert ended.code == 2
    assert all(command in ended.out + ended.err for command in COMMANDS)


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_names_every_command_and_ends_well(hyperllm: Command, flag: str) -> None:
    ended = hyperllm(flag)
    assert ended.code == 0
    assert all(command in ended.out for command in COMMANDS)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_has_help_of_its_own(hyperllm: Command, command: str) -> None:
    ended = hyperllm(command, "-h")
    assert ended.code == 0
    assert "Usage" in ended.out


def test_version(hyperllm: Command) -> None:
    assert hyperllm("--version").out == f"hyperllm {package.__version__}\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("prepar",), "Did you mean 'prepare'?"),
        (("train",), "Missing argument"),
        (("evaluate", "w", "r", "--kk", "3"), "No such option"),
        (("demo", "--seed", "x"), "integer"),
        (("prepare", "w"), "exactly one of --interactions, --amazon, --published; found none"),
        (("recommend", "w", "r"), "needs --users"),
        (("run", "none.toml"), "does not exist"),
        (("paper", "tabel3", "w"), "unknown table or figure 'tabel3'"),
        (("paper", "table3"), "a workspace, or --published"),
        (("paper", "table3", "w", "--backbones", "hgfc"), "unknown backbone 'hgfc'"),
        (("paper", "table4", "w", "--frameworks", "kar,kar"), "names a framework twice"),
    ],
)
def test_a_wrong_request_ends_with_2(hyperllm: Command, words: tuple[str, ...], told: str) -> None:
    ended = hyperllm(*words)
    assert ended.code == 2
    assert told in " ".join(ended.err.split())
    assert "Traceback" not in ended.err
    assert ended.out == ""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("evaluate", "WORK", "hyperlm"), "no finished run 'hyperlm'.*there are .*Did you mean 'hyperllm'?"),
        (("evaluate", "WORK", "hyperllm", "--part", "tets"), "unknown part 'tets'.*Did you mean 'test'?"),
        (("evaluate", "WORK", "hyperllm", "--k", "ten"), "numbers such as 10,20; found 'ten'"),
        (("compare", "WORK", "base"), "at least two different runs"),
        (("recommend", "WORK", "base", "--users", "u00l1"), "unknown user 'u00l1'.*Did you mean 'u0"),
        (("similar", "WORK", "base", "--items", "x"), "unknown item 'x'"),
        (("train", "WORK", "--framework", "bas"), "unknown framework 'bas'.*Did you mean 'base'?"),
        (("train", "WORK", "--set", "epocs=3"), "unknown setting 'epocs'.*Did you mean 'epochs'?"),
        (("train", "WORK", "--set", "epochs=few"), "'epochs'.*found 'few'"),
        (("train", "WORK", "--tags", "keyword"), "no set 'keyword' in tags.*Did you mean 'keywords'?"),
        (("train", "WORK", "--run", "a/b"), "a run name is a plain word"),
        (("train", "WORK", "--baseline", "ease", "--variant", "full"), "--variant has no use beside --baseline"),
        (("train", "WORK", "--baseline", "ease", "--semantics", "hash"), "--semantics has no use beside --baseline"),
        (("train", "WORK", "--baseline", "content", "--tags", "keywords"), "--baseline content with tag_weight 0"),
        (("evaluate", "WORK", "base", "--candidates", "old"), "unknown candidates 'old'.*Did you mean 'cold'?"),
        (("evaluate", "WORK", "base", "--candidates", "cold"), "no cold items to rank"),
        (("embed", "WORK", "--encoder", "hsh"), "unknown encoder 'hsh'.*Did you mean 'hash'?"),
        (("extract", "WORK", "--llm", "keyword"), "unknown extractor 'keyword'.*Did you mean 'keywords'?"),
    ],
)
def test_a_wrong_name_ends_with_2_and_lists_what_there_is(
    hyperllm: Command, finished: Path, words: tuple[str, ...], told: str
) -> None:
    ended = hyperllm(*(finished if word == "WORK" else word for word in words))
    assert ended.code == 2
    _is_a_paragraph(ended.err, told)
    assert ended.out == ""


def _is_a_paragraph(text: str, told: str) -> None:
    import re

    lines = [line for line in text.splitlines() if line.startswith("hyperllm: ")]
    assert len(lines) == 1, text
    assert "Traceback" not in text
    assert re.search(told, lines[0]), lines[0]


def test_failed_work_ends_with_1(hyperllm: Command, tmp_path: Path) -> None:
    ended = hyperllm("evaluate", tmp_path / "none", "base")
    assert ended.code == 1
    _is_a_paragraph(ended.err, "not a prepared workspace.*hyperllm prepare")


def test_a_damaged_file_ends_with_1_and_is_named(hyperllm: Command, work: Path) -> None:
    path = work / "split" / "train.parquet"
    path.write_bytes(b"nothing")
    ended = hyperllm("train", work, "--baseline", "ease")
    assert ended.code == 1
    _is_a_paragraph(ended.err, "train.parquet.*changed after it was written")


@pytest.mark.parametrize("place", [0, 3])
def test_debug_shows_the_traceback_wherever_it_stands(hyperllm: Command, finished: Path, place: int) -> None:
    words: list[object] = ["evaluate", finished, "hyperlm"]
    words.insert(place, "--debug")
    ended = hyperllm(*words)
    assert ended.code == 2
    assert "Traceback" in ended.err
    assert "no finished run 'hyperlm'" in ended.err


def test_an_unforeseen_error_is_a_paragraph_too(hyperllm: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(room, "app", broken)
    ended = hyperllm("doctor")
    assert ended.code == 1
    _is_a_paragraph(ended.err, "ZeroDivisionError: division by zero.*--debug")


def test_an_interruption_in_this_process_ends_with_130(hyperllm: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(room, "app", interrupted)
    ended = hyperllm("doctor")
    assert ended.code == 130
    assert "interrupted" in ended.err


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_ends_with_130_and_keeps_what_is_done(work: Path, hyperllm: Command) -> None:
    words = [
        *("train", str(work), "--framework", "base", "--run", "long"),
        *("--set", "epochs=100000", "--set", "patience=100000", "--set", "checkpoint_every_s=0", "--set", "dim=4"),
    ]
    code = "import sys; from hyperllm.cli.app import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    unfinished = work / "runs" / ".long.partial"
    deadline = time.monotonic() + 60
    while not list(unfinished.glob(".checkpoint-*/*")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert unfinished.is_dir()
    assert not (work / "runs" / "long" / MANIFEST).exists()
    assert "no finished run 'long'" in hyperllm("evaluate", work, "long").err


JSON_COMMANDS = [
    ("prepare", "WORK", "--interactions", "RAW/clicks.csv", "--items", "RAW/items.csv", "--core", "3", "--json"),
    ("train", "WORK", "--baseline", "popularity", "--json"),
    ("evaluate", "WORK", "base", "--json"),
    ("compare", "WORK", "hyperllm", "base", "--json"),
    ("recommend", "WORK", "hyperllm", "--users", "u0001", "--explain", "--json"),
    ("similar", "WORK", "hyperllm", "--items", "i0001", "--json"),
    ("doctor", "WORK", "--json"),
]


@pytest.mark.parametrize("words", JSON_COMMANDS, ids=lambda words: words[0])
def test_json_prints_one_document_and_nothing_else(
    hyperllm: Command, work: Path, raw: Path, words: tuple[str, ...]
) -> None:
    filled = [word.replace("WORK", str(work)).replace("RAW", str(raw)) for word in words]
    if words[0] in ("recommend", "similar"):
        kind = "users" if words[0] == "recommend" else "items"
        filled[filled.index(f"--{kind}") + 1] = _first(work, kind)
    ended = hyperllm(*filled)
    assert ended.code == 0, ended.err
    assert isinstance(ended.document, dict | list)


def _first(work: Path, kind: str) -> str:
    from hyperllm.data.split import Split

    split = Split.load(work / "split")
    return (split.users if kind == "users" else split.items).ids[0]


def test_the_command_starts_without_what_only_some_commands_need() -> None:
    heavy = "'torch', 'aiohttp', 'pyarrow', 'scipy.cluster', 'fastapi', 'numba', 'ray'"
    code = f"import sys, hyperllm.cli.app; sys.exit(' '.join(sorted({{{heavy}}} & set(sys.modules))) or 0)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
