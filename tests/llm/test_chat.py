"""The scripted chat model keeps the protocol: text, token counts, and a typed error where it has no answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperllm.errors import ProviderUnavailable
from hyperllm.llm.chat import Message, ScriptedChat, estimated_tokens
from hyperllm.llm.loop import wait_for


def test_the_script_sees_every_message_and_words_are_tokens():
    chat = ScriptedChat(lambda messages: " ".join(m.role for m in messages), name="echo")
    messages = [Message("system", "be brief"), Message("user", "one two three")]
    reply = wait_for(lambda: chat.complete(messages, schema={"type": "object"}))
    assert (reply.text, reply.input_tokens, reply.output_tokens, reply.cut) == ("system user", 5, 2, False)
    assert (chat.name, chat.settings) == ("echo", {})
    assert wait_for(chat.close) is None


def test_no_answer_is_a_typed_error():
    chat = ScriptedChat(lambda messages: None)
    with pytest.raises(ProviderUnavailable, match="no answer"):
        wait_for(lambda: chat.complete([Message("user", "x")]))


@given(st.text(), st.text())
def test_the_estimate_of_tokens_grows_with_the_text(text, more):
    assert 1 <= estimated_tokens(text) <= estimated_tokens(text + more) <= estimated_tokens(text) + 4 * len(more)
