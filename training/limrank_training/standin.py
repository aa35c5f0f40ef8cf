"""A tokenizer made on the spot, for looking at a plan where the real one is not at hand."""

from __future__ import annotations

from typing import Any

from limrank_plugins.errors import require
from limrank_plugins.prompts import Template
from limrank_plugins.recipes import load_recipe
from limrank_training.model_export import template_of
from limrank_training.plans import Plan
from limrank_training.standin_processor import StandinProcessor

# Every message between two markers, as most models have it.
_CHAT = (
    "{% for message in messages %}<|start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|image|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


def standin_for(plan: Plan) -> Any:
    """A tokenizer that stands in for that of the plan's base; a processor, where that sees."""
    tokenizer = standin_tokenizer(template_of(plan))
    return (
        StandinProcessor(tokenizer, plan.base) if load_recipe(plan.recipe).backend == "vision" else tokenizer
    )


def standin_tokenizer(template: Template) -> Any:
    """Byte-level BPE trained on the template's own words, so that its labels are one token each; it can chat.

    Real tokenizers make three to four bytes a token of English; this one makes fewer, so lengths that it
    counts are too long rather than too short.
    """
    tokenizers = require("tokenizers", "training", "a stand-in tokenizer")
    transformers = require("transformers", "training", "a stand-in tokenizer")
    engine = tokenizers.Tokenizer(tokenizers.models.BPE())
    engine.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    engine.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=2000,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words = [*template.labels, template.prompt, template.system]
    engine.train_from_iterator(words * 8, trainer)
    engine.add_special_tokens(["<|endoftext|>", "<|start|>", "<|end|>"])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=engine,
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        clean_up_tokenization_spaces=False,
        chat_template=_CHAT,
    )


def standin_wordpiece(plan: Plan) -> Any:
    """A WordPiece tokenizer made on the spot, for looking at a plan: a token for each character."""
    tokenizers = require("tokenizers", "training", "a stand-in tokenizer")
    transformers = require("transformers", "training", "a stand-in tokenizer")
    special = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    characters = [chr(code) for code in range(33, 127)]
    names = [*special, *characters, *(f"##{character}" for character in characters)]
    vocabulary = {name: number for number, name in enumerate(names)}
    engine = tokenizers.Tokenizer(
        tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=10_000)
    )
    engine.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    engine.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    engine.decoder = tokenizers.decoders.WordPiece()
    engine.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    parts = {f"{name.strip('[]').lower()}_token": name for name in special if name != "[unused0]"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=engine, **parts)
