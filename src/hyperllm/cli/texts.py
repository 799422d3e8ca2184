"""``extract``, ``status``, ``cost`` and ``embed``: texts to tags and vectors, and what they cost."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from hyperllm.cli import show
from hyperllm.cli.cluster import RayAddress, address


def register(app: typer.Typer) -> None:
    """Add this room's commands."""
    app.command("extract")(extract)
    app.command("status")(status)
    app.command("cost")(cost)
    app.command("embed")(embed)


def extract(
    workspace: Path,
    llm: Annotated[
        str | None,
        typer.Option(
            help="keywords (no language model, the default), openai:MODEL, gguf:FILE, scripted[:FILE], vllm:MODEL (Ray)"
        ),
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="An OpenAI-compatible server, usually ending in /v1.")] = None,
    workers: Annotated[int | None, typer.Option(help="Calls on their way at once, at most; 8.")] = None,
    budget: Annotated[float | None, typer.Option(help="US dollars this set may have cost in all.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many items and users.")] = None,
    estimate: Annotated[bool, typer.Option(help="Only say what it would cost; nothing is sent.")] = False,
    only: Annotated[str | None, typer.Option(help="items (no user history is sent) or users.")] = None,
    prompt: Annotated[str | None, typer.Option(help="Prompt version: hyperllm-1, hyperllm-1-lists, paper.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the profile and tag sets.")] = None,
    price: Annotated[str | None, typer.Option(help="Dollars for a million tokens, IN,OUT.")] = None,
    batch: Annotated[bool, typer.Option(help="Through the server's Batch API.")] = False,
    retry: Annotated[bool, typer.Option(help="Ask again what is quarantined.")] = False,
    calls_per_minute: Annotated[float | None, typer.Option(help="Rate limit.")] = None,
    tokens_per_minute: Annotated[float | None, typer.Option(help="Rate limit, tokens in and out.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Longest answer; 1024.")] = None,
    temperature: float | None = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds to wait for an answer; 120.")] = None,
    threads: Annotated[int | None, typer.Option(help="Processor threads of a gguf model.")] = None,
    preset: Annotated[str | None, typer.Option(help="default or paper (LLaMA3-8B, prompts of the paper).")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Any other setting, KEY=VALUE.")] = None,
    ray: RayAddress = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Write summaries, three levels of tags and their edges for every item, and summaries of users."""
    from hyperllm.config import parse_assignments
    from hyperllm.extraction.ask import Asking
    from hyperllm.extraction.ask import run as plainly
    from hyperllm.extraction.config import extract_config
    from hyperllm.extraction.estimate import estimate as foresee
    from hyperllm.extraction.extract import extract as run

    given = {"llm": llm, "base_url": base_url, "workers": workers, "budget": budget, "limit": limit, "only": only}
    given |= {"prompt": prompt, "name": name, "price": price, "batch": batch or None, "retry": retry or None}
    given |= {"calls_per_minute": calls_per_minute, "tokens_per_minute": tokens_per_minute, "max_tokens": max_tokens}
    given |= {"temperature": temperature, "timeout": timeout, "threads": threads, "preset": preset}
    config = extract_config({**given, **parse_assignments(set_ or [])})
    if estimate:
        found = foresee(workspace, config)
        show.print_json(found.document()) if json else typer.echo(found.text())
        return
    with show.Bar(f"extracting with {config.llm}") as bar, ExitStack() as stack:
        asking: Asking = plainly
        if ray is not None:
            from hyperllm.scale.asking import RayAsking
            from hyperllm.scale.cluster import joined

            asking = RayAsking(workspace, config, stack.enter_context(joined(address(ray))))
        done = run(workspace, config, progress=bar, asking=asking)
    show.print_json(done.document()) if json else typer.echo(done.text())
    if done.stopped is not None:
        raise typer.Exit(1)


def status(
    workspace: Path,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """How far each stage is, and what was asked of language models."""
    from hyperllm.experiments.status import status as look

    found = look(workspace)
    if json:
        show.print_json(found.document())
        return
    show.print_table(("stage", "sets"), [(s.name, s.text()) for s in found.stages])
    if found.series:
        columns = ("asked", "about", "wanted", "done", "quarantined", "unanswered", "open", "on the way", "lost")
        show.print_table(columns, [s.row() for s in found.series])


def cost(
    workspace: Path,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Calls, tokens and dollars so far, a line each set and kind."""
    from hyperllm.experiments.status import costs

    found = costs(workspace)
    if json:
        show.print_json(found.document())
        return
    columns = ("asked", "about", "calls", "answered", "repairs", "refused", "failed", "lost", "tokens in", "tokens out")
    show.print_table((*columns, "USD"), [line.row() for line in found.lines])
    for remark in found.remarks():
        typer.echo(remark)


def embed(
    workspace: Path,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="minilm, mpnet, wordllama, hash, openai:MODEL, sentence-transformers:MODEL, or file:PATH to import."
        ),
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="An OpenAI-compatible server, usually ending in /v1.")] = None,
    dimensions: Annotated[int | None, typer.Option(help="Columns to ask an openai encoder for.")] = None,
    workers: Annotated[int | None, typer.Option(help="Calls of an openai encoder on their way at once; 8.")] = None,
    price: Annotated[str | None, typer.Option(help="Dollars for a million tokens of an openai encoder.")] = None,
    profiles: Annotated[
        str | None, typer.Option(help="Profile set whose summaries are encoded; none for item texts.")
    ] = None,
    tags: Annotated[str | None, typer.Option(help="Tag set whose names join the texts, or none.")] = None,
    users: Annotated[str | None, typer.Option(help="mean of the training items' vectors, or summary.")] = None,
    preset: Annotated[str | None, typer.Option(help="default or paper (text-embedding-3-large, summaries).")] = None,
    ray: RayAddress = None,
) -> None:
    """Turn texts of items and users into vectors."""
    from hyperllm.extraction.encode import embed as run
    from hyperllm.extraction.encode import embed_options

    given = {"encoder": encoder, "base_url": base_url, "dimensions": dimensions, "workers": workers, "price": price}
    given |= {"profiles": profiles, "tags": tags, "users": users, "preset": preset}
    options = embed_options(given)
    with show.Bar(f"encoding with {options['encoder']}") as bar, ExitStack() as stack:
        if ray is not None:
            from hyperllm.scale.cluster import joined
            from hyperllm.scale.encoding import RayEncoding

            options["encoding"] = RayEncoding(workspace, stack.enter_context(joined(address(ray))))
        done = run(workspace, **options, progress=bar)
    typer.echo(done.text())
