"""What is read of a long text is what would be read of all of it, whatever comes behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
from hypothesis import example, given
from hypothesis import strategies as st

tokenizers = pytest.importorskip("tokenizers", reason="not installed: pip install 'limrank[mini]'")

import transformers  # noqa: E402
from tiny_encoders import bert_tokenizer  # noqa: E402

from limrank_plugins.backends.local import text_heads  # noqa: E402
from limrank_plugins.backends.local.text_heads import TextHeads, about  # noqa: E402
from limrank_plugins.backends.mini_weights import MINI_HUB, find_mini  # noqa: E402

WRITTEN = ["acid curdles milk", "milk in tea, and bread", "a  b.c é ñ", "the end. [SEP]\n\tmilk"]


def trained(before: Any, normalizer: Any = None) -> Any:
    """A small BPE vocabulary whose texts are taken apart like this."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="[UNK]"))
    made.pre_tokenizer, made.normalizer = before, normalizer
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["[UNK]", "[SEP]"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(WRITTEN * 4, trainer)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made)


def bert(folder: Path, *, split: bool) -> Any:
    made = bert_tokenizer(folder)
    made.split_special_tokens = split
    return made


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    pre, norm = tokenizers.pre_tokenizers, tokenizers.normalizers
    home = tmp_path_factory.mktemp("bert")
    found = {
        "bert": bert(home, split=True),
        "bert with markers": bert(home, split=False),
        "bytes": trained(pre.ByteLevel(add_prefix_space=False)),
        "bytes, NFKC": trained(pre.ByteLevel(), norm.NFKC()),
        "spaces": trained(pre.Sequence([pre.WhitespaceSplit(), pre.Metaspace()])),
        "metaspace": trained(pre.Metaspace(), norm.Replace(tokenizers.Regex(" {2,}"), " ")),
    }
    if find_mini() != MINI_HUB:
        found["mini"] = transformers.AutoTokenizer.from_pretrained(find_mini())
        found["mini"].split_special_tokens = True
    return found


def counter(tokenizer: Any) -> Callable[[str], list[int]]:
    options = {"add_special_tokens": False, "truncation": False, "verbose": False}
    return lambda text: list(tokenizer(text, **options)["input_ids"])


SIGNS = st.sampled_from(
    [
        *"abceé .,!?[]-_'\n\t\r\x1c\x00\u00a0\u3000\u0301\u200d\ufb01",
        "[SEP]",
        "[CLS",
        "語",
        "です",
        "한",
        "   ",
    ]
)
TEXTS = st.lists(st.one_of(SIGNS, SIGNS, st.characters(exclude_categories=["Cs"])), max_size=60).map("".join)


@given(TEXTS, st.integers(1, 8))
@example("a" * 150 + " milk", 1)
@example("e \u0301e e", 1)
@example("fi" + " " * 40 + "x", 1)
def test_tokens_of_a_beginning_are_the_texts_first(kinds: dict[str, Any], text: str, wanted: int) -> None:
    for name, tokenizer in kinds.items():
        ids, heads = counter(tokenizer), TextHeads(tokenizer)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(text_heads, "_CHARACTERS", 1)
            head = heads.head(text, wanted, lambda some, ids=ids: len(ids(some)))  # type: ignore[misc]
        assert text.startswith(head)
        assert ids(head)[:wanted] == ids(text)[:wanted], name
        assert head == text or len(ids(head)) >= wanted, name


def test_long_texts_are_cut_far_before_their_end(kinds: dict[str, Any]) -> None:
    """Little more is tokenised than is read, where there are spaces, and for BERT without any."""
    spaced, tight = "acid curdles milk " * 50_000, "乳酸,milk" * 100_000
    for name, tokenizer in kinds.items():
        seen: list[str] = []
        ids, heads = counter(tokenizer), TextHeads(tokenizer)
        heads.head(spaced, 256, lambda text, seen=seen, ids=ids: len(ids(seen.append(text) or text)))  # type: ignore[misc]
        if name in ("bert", "mini"):
            heads.head(tight, 256, lambda text, seen=seen, ids=ids: len(ids(seen.append(text) or text)))  # type: ignore[misc]
        assert max(map(len, seen)) < 2_200, name
        assert len(seen) == 1 + (name in ("bert", "mini"))


def test_a_text_whose_beginning_has_few_tokens_is_read_on(kinds: dict[str, Any]) -> None:
    ids = counter(kinds["bert"])
    text = "milk" + " " * 5_000 + "tea " * 30_000
    head = TextHeads(kinds["bert"]).head(text, 32, lambda some: len(ids(some)))
    assert 5_000 < len(head) < len(text)
    assert ids(head)[:32] == ids(text)[:32]


def test_where_a_tokenizer_is_not_known_texts_stay_whole() -> None:
    """Qwen's joins a full stop with the line ends behind it; what has no words joins anything."""
    text = "acid curdles milk. " * 5_000
    joined = trained(None)
    for tokenizer in (tiny.qwen_tokenizer(), joined, object()):
        assert TextHeads(tokenizer).head(text, 8, len) == text
    joined = trained(tokenizers.pre_tokenizers.WhitespaceSplit())
    joined.add_tokens(["milk. acid"])
    assert TextHeads(joined).head(text, 8, len) == text


def test_what_is_not_tokenised_is_estimated() -> None:
    assert about("milk " * 100, "milk " * 50, 50) == pytest.approx(100, abs=1)
    assert about("   ", "milk", 1) == about("", "", 0) == 0
