"""The Batch API: same questions, same ledger, and a process that may die anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from hyperllm.errors import ProviderFaltered, ProviderUnavailable
from hyperllm.extraction import batches as room
from hyperllm.extraction import profiles
from hyperllm.extraction.config import ExtractConfig
from hyperllm.extraction.extract import extract
from hyperllm.llm.endpoint import Endpoint
from hyperllm.llm.ledger import NAME, Ledger, Tally
from hyperllm.testing.chat_server import ChatServer, FaultPlan, ServerConfig


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def config(server: ChatServer, **more: object) -> ExtractConfig:
    return ExtractConfig(llm="openai:fake", base_url=server.url, batch=True, poll=0.01, **more)  # type: ignore[arg-type]


def tallies(workspace: Path) -> dict[str, Tally]:
    with Ledger.read(workspace / NAME) as ledger:
        assert ledger is not None
        return {tally.kind: tally for tally in ledger.tallies()}


def test_a_batch_gives_what_single_calls_give(workspace):
    with ChatServer(ServerConfig(batch_polls=2)) as server:
        done = extract(workspace, config(server))
        assert (done.items, done.users, done.left_out) == (6, 6, {})
        stats = server.stats()
        assert stats.batched == stats.billed == tallies(workspace)["item"].calls + tallies(workspace)["user"].calls
        extract(workspace, ExtractConfig(llm="openai:fake", base_url=server.url, name="single"))
    for read in (profiles.load_items, profiles.load_users):
        batch, single = (read(workspace / "profiles" / name) for name in ("fake", "single"))
        assert batch == single


def test_batches_and_single_calls_share_their_answers(workspace):
    with ChatServer() as server:
        extract(workspace, config(server, only="items", limit=3))
        before = server.stats().billed
        extract(workspace, ExtractConfig(llm="openai:fake", base_url=server.url, only="items"))
        assert server.stats().billed - before == 3


def test_malformed_answers_are_repaired_in_a_second_batch_and_refusals_are_not_asked_again(workspace):
    plan = FaultPlan(0, {}, always={"bear": "refusal", "cube": "malformed_answer"})
    with ChatServer(ServerConfig(faults=plan)) as server:
        done = extract(workspace, config(server, only="items"))
        assert done.items == 4
        assert set(done.left_out) == {"item i1", "item i2"}
        assert "refused" in done.left_out["item i2"]
        tally = tallies(workspace)["item"]
        assert (tally.calls, tally.repairs, tally.refused, tally.quarantined) == (7, 1, 1, 2)
        assert server.stats().billed == 7


@pytest.mark.parametrize("place", ["upload", "create", "noted", "wait", "collect"])
def test_killed_anywhere_a_batch_is_found_again_and_paid_once(workspace, monkeypatch, place):
    """Each place stands for a process that dies there: before, at and after the server has the batch."""

    class Killed(BaseException):
        pass

    def dies(*_: object, **__: object) -> None:
        raise Killed

    with ChatServer() as server:
        with monkeypatch.context() as patch:
            if place == "upload":
                patch.setattr(room._Batches, "_create", dies)
            elif place == "create":
                patch.setattr(Ledger, "batch_is", dies)
            elif place == "noted":
                patch.setattr(room._Batches, "_collect", dies)
            elif place == "wait":
                patch.setattr(room._Batches, "_wait", dies)
            else:
                patch.setattr(room._Batches, "_write_down", dies)
            with pytest.raises(Killed):
                extract(workspace, config(server, only="items"))
        done = extract(workspace, config(server, only="items"))
        assert done.items == 6
        assert server.stats().billed == 6, "no answer is paid twice"
    assert tallies(workspace)["item"].lost == 0


def test_an_expired_batch_leaves_the_rest_unanswered_and_a_repetition_asks_it(workspace):
    with ChatServer(ServerConfig(batch_outcome="expired")) as server:
        done = extract(workspace, config(server, only="items"))
        tally = tallies(workspace)["item"]
        assert 0 < done.unanswered == tally.unanswered == 6 - done.items
        assert "repeat the command" in done.text()
    with ChatServer() as server:
        done = extract(workspace, config(server, only="items"))
        assert (done.items, done.unanswered, server.stats().billed) == (6, 0, tally.unanswered)


def test_a_batch_that_could_pass_the_budget_is_not_sent(workspace):
    with ChatServer() as server:
        done = extract(workspace, config(server, price="1,1", budget=0.0001))
        assert done.stopped is not None
        assert "budget of $0.0001" in done.stopped
        assert server.stats().billed == 0


def test_a_server_without_batches_says_so(workspace):
    with ChatServer(ServerConfig(api_key="sk-something")) as server, pytest.raises(ProviderUnavailable, match="401"):
        extract(workspace, config(server))


def test_blocks_do_not_matter(workspace):
    with ChatServer() as server:
        assert extract(workspace, config(server, batch_size=2)).items == 6
    with Ledger.read(workspace / NAME) as ledger:
        assert ledger is not None
        assert not ledger.open_batches("fake")


@pytest.mark.parametrize("refused", [{"refuse": ("max_tokens",)}, {"structured": "none"}, {"refuse": ("temperature",)}])
def test_a_feature_the_server_lacks_is_left_out_and_nobody_is_quarantined(workspace, refused):
    with ChatServer(ServerConfig(**refused)) as server:
        done = extract(workspace, config(server, only="items"))
    assert (done.items, done.left_out) == (6, {})


def test_a_lost_answer_to_the_creation_makes_no_second_batch(workspace, monkeypatch):
    post, lost = Endpoint.post, []

    async def losing(self, path, body):
        answer = await post(self, path, body)
        if path == "batches" and not lost:
            lost.append(answer["id"])
            raise ProviderFaltered("502 on the way back")
        return answer

    monkeypatch.setattr(Endpoint, "post", losing)
    with ChatServer() as server:
        assert extract(workspace, config(server, only="items")).items == 6
        assert server.stats().billed == 6


def test_equal_questions_are_sent_once(workspace):
    with ChatServer() as server:
        extract(workspace, config(server, limit=2, limit_users=6))
        assert max(server.stats().attempts.values()) == 1


def test_a_budget_sends_what_fits_and_goes_on(workspace):
    with ChatServer() as server:
        first = extract(workspace, config(server, price="1,1", budget=0.0016, only="items"))
        assert 0 < first.items < 6
        assert first.stopped is not None
        assert extract(workspace, config(server, price="1,1", budget=1.0, only="items")).items == 6
        assert server.stats().billed == 6
