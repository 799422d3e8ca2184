"""The scripted chat model keeps the protocol: text, token counts, and a typed error where it has no answer."""

from __future__ import annotations

import pytest

from hyperllm.errors import ProviderUnavailable
from hyperllm.llm.chat import Message, ScriptedChat


def test_the_script_sees_every_message_and_words_are_tokens():
    chat = ScriptedChat(lambda messages: " ".join(m.role for m in messages), name="echo")
    reply = chat.complete([Message("system", "be brief"), Message("user", "one two three")], schema={"type": "object"})
    assert (reply.text, reply.input_tokens, reply.output_tokens) == ("system user", 5, 2)
    assert chat.name == "echo"


def test_no_answer_is_a_typed_error():
    with pytest.raises(ProviderUnavailable, match="no answer"):
        ScriptedChat(lambda messages: None).complete([Message("user", "x")])
