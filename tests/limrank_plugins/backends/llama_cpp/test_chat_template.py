"""The chat template of a file, applied without transformers: as transformers applies it."""

from __future__ import annotations

import pytest
import tiny

from limrank_plugins.backends.chat import as_completion
from limrank_plugins.backends.llama_cpp.chat_template import GGUFChat
from limrank_plugins.segments import Prompt, Segment

TEMPLATES = {
    "chatml": (
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' }}\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    ),
    "blocks and spaces": (
        "{{- bos_token }}\n{%- for m in messages %}\n    {% if m.role == 'system' %}\n"
        "  S: {{ m.content | trim }}\n    {% continue %}\n    {% endif %}\n"
        "{% generation %}{{ m.role }}{% endgeneration %}: {{ m | tojson }}\n"
        "{% endfor %}{{ eos_token }}"
    ),
    "no system": (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "[{{ m.role }}] {{ m.content }}{% endfor %}"
    ),
}
CHAT = Prompt(
    (
        Segment("You rank.", role="system"),
        Segment("Query: ", role="user"),
        Segment("why é < b & c", trusted=False, role="user"),
        Segment("I say: ", role="assistant"),
    )
)


@pytest.mark.parametrize("name", TEMPLATES)
def test_it_is_written_as_transformers_writes_it(name: str) -> None:
    tokens = tiny.tokenizer()
    tokens.chat_template = TEMPLATES[name]
    tokens.bos_token = "<|im_start|>"
    ours = GGUFChat("m", TEMPLATES[name], {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"})
    assert as_completion(CHAT, ours) == as_completion(CHAT, tokens)


def test_a_template_reaches_nothing_but_its_messages() -> None:
    evil = GGUFChat("m", "{{ messages.__class__.__mro__[1].__subclasses__() }}", {})
    with pytest.raises(Exception, match="unsafe"):
        evil.apply_chat_template([{"role": "user", "content": "a"}])
