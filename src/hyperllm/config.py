"""Settings typed by people: ``KEY=VALUE`` strings, TOML tables or keyword arguments into frozen config objects.

Knows how to find which config class owns a key, how to read a value and how to say what is wrong. Does not know what
any setting means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from pydantic import ConfigDict, ValidationError

from hyperllm.errors import ConfigError, did_you_mean

SETTINGS = ConfigDict(extra="forbid", use_attribute_docstrings=True)


def build(classes: Sequence[type[Any]], values: Mapping[str, Any]) -> list[Any]:
    """One instance of each class, every value handed to the class that has a field of its name.

    Strings are read as the field's type; ``none`` is None. Raises `ConfigError` on an unknown key or a bad value.
    """
    known = {f.name for cls in classes for f in fields(cls) if f.init}
    for key in values:
        if key not in known:
            raise ConfigError(
                f"unknown setting {key!r}; there are {', '.join(sorted(known))}.{did_you_mean(key, known)}"
            )
    return [_one(cls, values) for cls in classes]


def _one(cls: type[Any], values: Mapping[str, Any]) -> Any:
    mine = {f.name for f in fields(cls) if f.init}
    try:
        return cls(**{key: _read(value) for key, value in values.items() if key in mine})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or cls.__name__
        raise ConfigError(f"setting {key!r}: {first['msg']}; found {first['input']!r}.") from None


def _read(value: Any) -> Any:
    if isinstance(value, str) and value.lower() in {"none", "null"}:
        return None
    return value


def parse_assignments(assignments: Sequence[str]) -> dict[str, str]:
    """``["a=1", "b=x"]`` to a dict; raises `ConfigError` where there is no ``=``."""
    found: dict[str, str] = {}
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set expects KEY=VALUE; found {text!r}")
        found[key.strip()] = value.strip()
    return found


def document(*configs: Any) -> dict[str, Any]:
    """The flat JSON form of several configs, for manifests."""
    return {key: value for config in configs for key, value in asdict(config).items()}
