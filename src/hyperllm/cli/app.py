"""The ``hyperllm`` command and how it ends.

Exit codes: 0 done; 1 the work failed; 2 the request was wrong; 130 interrupted. An error is one paragraph on standard
error; a traceback only with ``--debug``.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Sequence
from typing import Any, cast

import typer

import hyperllm
from hyperllm.cli import data, models, paper, serve, texts, use, whole
from hyperllm.cli.cluster import spelled_out
from hyperllm.errors import ConfigError, HyperLLMError, UnknownId

# Typer carries its own copy of click in some versions; this is the class that its usage errors really have.
_UsageProblem: type[Any] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")

app = typer.Typer(
    name="hyperllm",
    help="Item texts and clicks to hierarchical, explainable recommendations.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hyperllm {hyperllm.__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: bool = typer.Option(False, "--debug", help="Show tracebacks and log everything."),
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    """Everything happens in a workspace: a folder of artifacts, each complete or absent."""
    del version
    logging.basicConfig(level=logging.DEBUG if debug else logging.WARNING, format="%(levelname)s %(name)s: %(message)s")


for room in (data, texts, models, use, serve, whole, paper):
    room.register(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; ``--debug`` may stand anywhere."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = (["--debug"] if debug else []) + spelled_out([word for word in words if word != "--debug"])
    try:
        result = app(words, standalone_mode=False)
        return result if isinstance(result, int) else 0
    except (typer.Abort, KeyboardInterrupt):
        return _interrupted()
    except typer.Exit as end:
        return end.exit_code
    except Exception as error:
        if debug:
            traceback.print_exc()
        return _failed(error)


def _failed(error: Exception) -> int:
    """Say in one paragraph what happened; 2 where the request was wrong, else 1."""
    if isinstance(error, _UsageProblem):
        cast(Any, error).show()
        return 2
    if isinstance(error, (HyperLLMError, OSError)):
        typer.echo(f"hyperllm: {error}", err=True)
        return 2 if isinstance(error, (ConfigError, UnknownId)) else 1
    name = type(error).__name__
    typer.echo(f"hyperllm: an error that nobody foresaw, {name}: {error}. Repeat with --debug and report it.", err=True)
    return 1


def _interrupted() -> int:
    typer.echo("\ninterrupted; what is finished is kept, repeat the command to go on", err=True)
    return 130


def entry() -> None:
    """What the installed script calls."""
    sys.exit(main())
