"""What tokens cost.

Knows a price of input and output tokens, where it comes from and of which day it is. Prices are those that the user
gives, else those of the `genai-prices` package; nothing is looked up on a network. Does not know who spends.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from urllib.parse import urlsplit

from hyperllm.errors import ConfigError

LOCAL = ("localhost", "127.0.0.1", "::1")
_SOME = 1000
"""Tokens of the call that is priced: as many as a prompt has. Some models cost more in very long calls."""


@dataclass(frozen=True)
class Price:
    """US dollars for a million tokens; ``source`` says whose figure it is, and of which day."""

    input_per_million: float
    output_per_million: float
    source: str

    def of(self, input_tokens: int, output_tokens: int) -> float:
        """US dollars."""
        return (input_tokens * self.input_per_million + output_tokens * self.output_per_million) / 1e6

    def document(self) -> dict[str, float | str]:
        """As a JSON object."""
        return {
            "input_per_million_usd": self.input_per_million,
            "output_per_million_usd": self.output_per_million,
            "source": self.source,
        }


def given_price(text: str) -> Price:
    """``"0.15,0.60"``, dollars for a million tokens in and out; one number for both is enough for encoders."""
    try:
        numbers = [float(part) for part in text.split(",")]
        if not 1 <= len(numbers) <= 2 or not all(0 <= number < 1e9 for number in numbers):
            raise ValueError
    except ValueError:
        raise ConfigError(
            f"a price is dollars for a million tokens in and out, such as 0.15,0.60; found {text!r}"
        ) from None
    return Price(numbers[0], numbers[-1] if len(numbers) == 2 else 0.0, f"given by the user, {date.today()}")


def find_price(model: str, base_url: str, *, given: str | None = None, batch: bool = False) -> Price | None:
    """The price of ``model`` at a server, None where nobody knows it; a server on this machine costs nothing."""
    if given is not None:
        return given_price(given)
    if urlsplit(base_url).hostname in LOCAL:
        return Price(0.0, 0.0, f"a server on this machine, {date.today()}")
    from genai_prices import Usage, calc_price
    from genai_prices.types import PriceContext

    context: PriceContext | None = {"processing": "batch"} if batch else None
    some = Usage(input_tokens=_SOME, output_tokens=_SOME)
    try:
        found = calc_price(some, model, provider_api_url=base_url, price_context=context)
    except LookupError:
        return None
    source = f"genai-prices {version('genai-prices')}, read {date.today()}"
    return Price(float(found.input_price * 10**6 / _SOME), float(found.output_price * 10**6 / _SOME), source)
