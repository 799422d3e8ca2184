"""What tokens cost: from the user, from the package's tables, or unknown."""

from __future__ import annotations

from datetime import date
from importlib.metadata import version

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperllm.errors import ConfigError
from hyperllm.llm.openai import OPENAI_URL
from hyperllm.llm.prices import Price, find_price, given_price

FINITE = st.floats(0, 1e6, allow_nan=False)


@given(FINITE, FINITE, st.integers(0, 10**9), st.integers(0, 10**9))
def test_a_price_counts_both_kinds_of_tokens(dollars_in, dollars_out, tokens_in, tokens_out):
    price = Price(dollars_in, dollars_out, "a test")
    assert price.of(10**6, 0) == pytest.approx(dollars_in)
    assert price.of(0, 10**6) == pytest.approx(dollars_out)
    apart = price.of(tokens_in, 0) + price.of(0, tokens_out)
    assert price.of(tokens_in, tokens_out) == pytest.approx(apart)


@given(FINITE, FINITE)
def test_what_the_user_gives_is_taken_as_it_is(dollars_in, dollars_out):
    both, one = given_price(f"{dollars_in},{dollars_out}"), given_price(f" {dollars_in} ")
    assert (both.input_per_million, both.output_per_million) == (dollars_in, dollars_out)
    assert (one.input_per_million, one.output_per_million) == (dollars_in, 0.0)
    assert both.source == f"given by the user, {date.today()}"


@pytest.mark.parametrize("text", ["", ",", "1,", "1,2,3", "-1", "1,-0.1", "nan", "inf", "$1", "1;2", "cheap", "1e9"])
def test_what_is_no_price_is_refused_with_an_example(text):
    with pytest.raises(ConfigError, match=r"such as 0\.15,0\.60; found"):
        given_price(text)


def test_a_known_model_has_a_price_and_a_batch_is_cheaper():
    now, later = find_price("gpt-4o-mini", OPENAI_URL), find_price("gpt-4o-mini", OPENAI_URL, batch=True)
    assert now is not None
    assert later is not None
    assert (now.input_per_million, now.output_per_million) == (0.15, 0.60)
    assert 0 < later.input_per_million < now.input_per_million
    assert 0 < later.output_per_million < now.output_per_million
    assert now.source == f"genai-prices {version('genai-prices')}, read {date.today()}"
    assert now.document() == {"input_per_million_usd": 0.15, "output_per_million_usd": 0.60, "source": now.source}


def test_an_encoder_has_a_price_for_what_goes_in():
    price = find_price("text-embedding-3-large", OPENAI_URL)
    assert price is not None
    assert price.input_per_million == pytest.approx(0.13)
    assert price.output_per_million == 0


def test_a_short_prompt_is_not_priced_as_a_long_one():
    """Its prices double for calls of more than 200,000 tokens."""
    price = find_price("gemini-2.5-pro", "https://generativelanguage.googleapis.com/v1beta/openai")
    assert price is not None
    assert (price.input_per_million, price.output_per_million) == (1.25, 10.0)


@pytest.mark.parametrize(("model", "url"), [("no-such-model", OPENAI_URL), ("gpt-4o-mini", "https://example.org/v1")])
@pytest.mark.parametrize("batch", [False, True])
def test_what_nobody_knows_has_no_price(model, url, batch):
    assert find_price(model, url, batch=batch) is None


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_a_server_on_this_machine_costs_nothing(host):
    price = find_price("gpt-4o-mini", f"http://{host}:8000/v1")
    assert price is not None
    assert price.of(10**9, 10**9) == 0
    assert "this machine" in price.source


def test_the_users_word_stands_above_all_others():
    for url in (OPENAI_URL, "http://localhost:1/v1", "https://example.org/v1"):
        price = find_price("gpt-4o-mini", url, given="3,4")
        assert price is not None
        assert (price.input_per_million, price.output_per_million) == (3, 4)
