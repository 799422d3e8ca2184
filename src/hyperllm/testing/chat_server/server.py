"""A chat model's server to try clients on: real HTTP on this machine, the OpenAI API, and no model behind it.

    with ChatServer(ServerConfig(slots=8, faults=FaultPlan.spread(seed=1, rate=0.05))) as server:
        ...  # ask server.url
        server.stats().billed

    python -m hyperllm.testing.chat_server --port 0 --latency 0.5 --slots 128 --faults 1 --rate 0.02

Knows how a server starts and stops, in a thread or as a process. Does not know what is answered: answers are made from
the prompt's own words, or by the caller's script, and go wrong only where a `FaultPlan` says so.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from threading import Event, Thread
from typing import Self

from aiohttp import web

from hyperllm.testing.chat_server.answers import Script
from hyperllm.testing.chat_server.endpoints import Endpoints
from hyperllm.testing.chat_server.faults import KINDS, FaultPlan
from hyperllm.testing.chat_server.settings import ServerConfig
from hyperllm.testing.chat_server.stats import Counters, ServerStats

_BACKLOG = 4096
_FAREWELL_S = 0.05


@asynccontextmanager
async def serving(config: ServerConfig, script: Script | None, counters: Counters, *, port: int) -> AsyncGenerator[str]:
    """Serve inside the running event loop; yields the URL that clients take as their base."""
    app = Endpoints(config, script, counters).application()
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=_FAREWELL_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, backlog=_BACKLOG).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


class ChatServer:
    """A server in a thread of its own, from ``with`` to its end.

    ``script`` makes an answer from the messages, in the server's thread; without one the answers are those of
    `hyperllm.extraction.scripted.scripted`. Port 0 takes a free one.
    """

    def __init__(self, config: ServerConfig | None = None, *, script: Script | None = None, port: int = 0) -> None:
        self.config = config or ServerConfig()
        self._script = script
        self._port = port
        self._counters = Counters()
        self._ready = Event()
        self._url: str | None = None
        self._failure: BaseException | None = None
        self._thread = Thread(target=self._run, name="chat-server", daemon=True)

    @property
    def url(self) -> str:
        """The base URL, ``http://127.0.0.1:PORT/v1``."""
        if self._url is None:
            raise RuntimeError("the server does not run; use it in a with statement")
        return self._url

    def stats(self) -> ServerStats:
        """The counters until now; to be read while it runs, and after."""
        return self._counters.snapshot()

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._url = None

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # handed to the thread that waits in __enter__
            self._failure = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with serving(self.config, self._script, self._counters, port=self._port) as self._url:
            self._ready.set()
            await self._stop.wait()


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the base URL as the first line and serve until told to stop."""
    options = _parser().parse_args(arguments)
    try:
        asyncio.run(_serve_forever(_config(options), options.port))
    except KeyboardInterrupt:
        return


async def _serve_forever(config: ServerConfig, port: int) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with serving(config, None, Counters(), port=port) as url:
        print(url, flush=True)
        await stop.wait()


def _config(options: argparse.Namespace) -> ServerConfig:
    plan, seed = None, options.faults
    if seed is not None or options.rate or options.fault or options.always:
        rates = FaultPlan.spread(seed or 0, options.rate).rates
        plan = FaultPlan(
            seed or 0,
            {**rates, **{kind: float(rate) for kind, rate in options.fault}},
            dict(options.always),
            stall_s=options.stall,
            retry_after_s=options.retry_after,
        )
    return ServerConfig(
        latency_s=options.latency,
        slots=options.slots,
        reject_over_slots=options.reject_over_slots,
        retry_after_s=options.retry_after,
        api_key=options.api_key,
        structured=options.structured,
        refuse=tuple(options.refuse),
        faults=plan,
        batch_polls=options.batch_polls,
        batch_s=options.batch_s,
        canned=options.canned,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m hyperllm.testing.chat_server", description=_WHAT)
    add = parser.add_argument
    add("--port", type=int, default=0, help="0 takes a free one")
    add("--latency", type=float, default=0.0, metavar="S", help="seconds a model takes for an answer")
    add("--slots", type=int, help="most requests worked on at once")
    add("--reject-over-slots", action="store_true", help="429 instead of waiting for a slot")
    add("--api-key", help="the bearer key that every request must carry")
    add("--structured", choices=("json_schema", "json_object", "none"), default="json_schema")
    add("--refuse", action="append", default=[], metavar="PARAMETER", help="answer 400 where it is given; repeatable")
    add("--faults", type=int, metavar="SEED", help="seed of the plan by which requests fail; 0 where none is given")
    add("--rate", type=float, default=0.0, help="share of attempts that fail, spread over all kinds")
    add("--fault", type=_pair, action="append", default=[], metavar="KIND=RATE", help="the rate of one kind")
    add("--always", type=_pair, action="append", default=[], metavar="TEXT=KIND", help="prompts that always fail")
    add("--stall", type=float, default=60.0, metavar="S", help="how long a stalled request is held")
    add("--retry-after", type=float, default=1.0, metavar="S", help="what a 429 or 503 asks to wait")
    add("--batch-polls", type=int, default=2, help="a batch ends at this poll at the earliest")
    add("--batch-s", type=float, default=0.0, metavar="S", help="a batch ends after this time at the earliest")
    add("--canned", action="store_true", help="one answer for every prompt, as fast as possible")
    return parser


_WHAT = "A chat model's server to try clients on. Kinds of faults: " + ", ".join(KINDS)


def _pair(text: str) -> tuple[str, str]:
    """(left, right) of the last ``=``."""
    left, sign, right = text.rpartition("=")
    if not sign:
        raise argparse.ArgumentTypeError(f"{text!r} has no '='")
    return left, right
