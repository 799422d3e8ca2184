from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hyperllm.training.streams import Streams

NAMES = st.sampled_from(["init", "user-item", "tag-tag", "views", "contrast"])


def numbers(seed: int, name: str, epoch: int) -> list[int]:
    return Streams(seed).numpy(name, epoch).integers(2**62, size=4).tolist()


@given(st.integers(0, 2**40), NAMES, st.integers(0, 500))
def test_a_stream_is_decided_by_seed_name_and_epoch(seed: int, name: str, epoch: int) -> None:
    assert numbers(seed, name, epoch) == numbers(seed, name, epoch)
    assert numbers(seed, name, epoch) != numbers(seed + 1, name, epoch)
    assert numbers(seed, name, epoch) != numbers(seed, name + "'", epoch)
    assert numbers(seed, name, epoch) != numbers(seed, name, epoch + 1)


def test_drawing_from_one_stream_does_not_move_another() -> None:
    streams = Streams(7)
    before = streams.numpy("b").random(3).tolist()
    streams.numpy("a").random(1000)
    assert streams.numpy("b").random(3).tolist() == before


def test_the_torch_stream_is_as_decided() -> None:
    one, other = Streams(1).torch("init", 2), Streams(1).torch("init", 2)
    assert one.initial_seed() == other.initial_seed() != Streams(1).torch("init", 3).initial_seed()
