"""The ``hyperllm`` command and how it ends.

Exit codes: 0 done; 1 the work failed; 2 the request was wrong; 130 interrupted. An error is one paragraph on standard
error; a traceback only with ``--debug``.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

import click
import typer

import hyperllm
from hyperllm.cli import data, models, texts, use, whole
from hyperllm.errors import ConfigError, HyperLLMError, UnknownId

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


for room in (data, texts, models, use, whole):
    room.register(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        result = app(words, standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Abort:
        return _interrupted()
    except KeyboardInterrupt:
        return _interrupted()
    except click.ClickException as error:
        error.show()
        return 2
    except click.exceptions.Exit as end:
        return end.exit_code
    except (HyperLLMError, OSError) as error:
        if "--debug" in words:
            raise
        typer.echo(f"hyperllm: {error}", err=True)
        return 2 if isinstance(error, (ConfigError, UnknownId)) else 1


def _interrupted() -> int:
    typer.echo("\ninterrupted; what is finished is kept, repeat the command to go on", err=True)
    return 130


def entry() -> None:
    """What the installed script calls."""
    sys.exit(main())
