"""``serve``: a trained model behind HTTP, with its page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from hyperllm.errors import ConfigError

KEYS = "HYPERLLM_API_KEYS"


def register(app: typer.Typer) -> None:
    """Add this room's command."""
    app.command("serve")(serve)


def serve(
    workspace: Path,
    run: str,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 8000,
    api_key: Annotated[
        list[str] | None,
        typer.Option(help=f"Who asks must send this key; may be repeated. Better in {KEYS}, comma-separated."),
    ] = None,
    rate_limit: Annotated[
        int | None, typer.Option(help="Requests a minute and client, 0 for any; 1,200 beyond loopback.")
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Another name the server is reached by; may be repeated.")
    ] = None,
    max_body: Annotated[int, typer.Option(help="Most bytes of a request.")] = 2**20,
    approximate: Annotated[bool, typer.Option(help="Rank through the index that `hyperllm index` built.")] = False,
) -> None:
    """Answer over HTTP until Ctrl-C, and take over each new training of the run."""
    try:
        from hyperllm.serving.http.run import Address, serve
        from hyperllm.serving.http.settings import DEFAULT_RATE, Settings, is_loopback
        from hyperllm.serving.http.state import Live
    except ImportError as missing:
        raise ConfigError(f"serve needs {missing.name}: pip install 'hyperllm[serve]'.") from None
    from hyperllm.experiments.serving import report
    from hyperllm.experiments.workspace import Workspace

    default = 0 if is_loopback(host) else DEFAULT_RATE
    settings = Settings(
        hosts=tuple(allow_host or ()),
        api_keys=_keys(api_key),
        rate_limit=default if rate_limit is None else rate_limit,
        max_body=max_body,
    )
    folder = Workspace.opened(workspace).run(run)
    live = Live(folder, run=run, report=lambda: report(folder), approximate=approximate)
    shop = live.current.recommender
    typer.echo(f"{run}: {len(shop.users):,} users, {len(shop.items):,} items")
    serve(live, Address(host, port), settings, say=lambda url: typer.echo(f"{url} (Ctrl-C stops it)"))


def _keys(given: list[str] | None) -> tuple[str, ...]:
    """Those given by hand, else those of the environment."""
    found = given or os.environ.get(KEYS, "").split(",")
    return tuple(key.strip() for key in found if key.strip())
