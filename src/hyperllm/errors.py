"""Every error this library raises on purpose, as one tree.

    HyperLLMError
    ├── DataError              the user's data is not what was said
    │   ├── UnknownId          an id that no vocabulary knows
    │   └── MisalignedArrays   arrays whose rows do not belong to the same ids
    ├── ArtifactError          a folder on disk is not what was expected
    │   ├── Incomplete         it is absent, or was never finished
    │   ├── WrongKind          it is finished, but holds something else
    │   └── Corrupt            a file is missing, cut short or changed
    ├── ProviderError          a language model or text encoder failed
    │   ├── ProviderUnavailable
    │   │   └── ProviderFaltered   this call was lost on the way; the same call may succeed later
    │   ├── ProviderRefused
    │   └── MalformedReply
    ├── TrainingDiverged       a loss term stopped being a number
    └── ConfigError            an option has no such name or value

A message says what was found, what was expected and what to do. Knows nothing of who prints it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")


class HyperLLMError(Exception):
    """Root of the tree; the command line turns it into one paragraph and an exit code."""


class DataError(HyperLLMError):
    """The user's data is not what was said."""


class UnknownId(DataError):
    """An id that no vocabulary knows."""


class MisalignedArrays(DataError):
    """Arrays whose rows do not belong to the same ids."""


class ArtifactError(HyperLLMError):
    """A folder on disk is not what was expected."""


class Incomplete(ArtifactError):
    """The artifact is absent or was never finished."""


class WrongKind(ArtifactError):
    """The artifact is finished but holds something else."""


class Corrupt(ArtifactError):
    """A file of the artifact is missing, cut short or changed."""


class ProviderError(HyperLLMError):
    """A language model or text encoder failed."""


class ProviderUnavailable(ProviderError):
    """It cannot be reached, installed or loaded."""


class ProviderFaltered(ProviderUnavailable):
    """This call was lost on the way, and the same call may succeed later.

    ``busy`` says that the server asked for fewer calls, ``retry_after_s`` how long it asked to be left alone.
    """

    def __init__(self, message: str, *, busy: bool = False, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.busy = busy
        self.retry_after_s = retry_after_s


class ProviderRefused(ProviderError):
    """It answered, and the answer was no; the tokens are those it charged for nevertheless."""

    def __init__(self, message: str, *, input_tokens: int = 0, output_tokens: int = 0) -> None:
        super().__init__(message)
        self.input_tokens = input_tokens
        self.output_tokens = output_tokens


class MalformedReply(ProviderError):
    """It answered with something that cannot be read."""


class TrainingDiverged(HyperLLMError):
    """A loss term stopped being a finite number.

    Carries ``epoch`` (1-based) and ``term``, the name of the first non-finite term.
    """

    def __init__(self, epoch: int, term: str) -> None:
        super().__init__(
            f"training diverged in epoch {epoch}: the term {term!r} is no longer a finite number. "
            "Lower learning_rate, or start from smaller vectors (init_scale, user_radius, item_radius)."
        )
        self.epoch = epoch
        self.term = term


class ConfigError(HyperLLMError):
    """An option has no such name or value."""


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` where a choice is near ``name``, else an empty string."""
    near = difflib.get_close_matches(name, list(choices), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def choose(name: str, choices: Mapping[str, T], *, what: str) -> T:
    """``choices[name]``, or a `ConfigError` that lists the choices."""
    if name not in choices:
        raise ConfigError(
            f"unknown {what} {name!r}; choose one of {', '.join(sorted(choices))}." + did_you_mean(name, choices)
        )
    return choices[name]
