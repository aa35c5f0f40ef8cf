"""TILDEv2's weights and TILDE's expansion against plain forward passes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from tiny_encoders import TEXTS, bert_config, bert_tokenizer, cross_encoder, tilde, tildev2

from limrank_plugins.backends.local.encoder_inputs import as_tensors
from limrank_plugins.backends.local.weights import read_weights
from limrank_plugins.backends.tildev2 import Expansion, TILDEv2
from limrank_plugins.backends.tildev2.terms import STOP_WORDS, Terms
from limrank_plugins.errors import BackendError, InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tildev2(tmp_path_factory.mktemp("models") / "tildev2")


@pytest.fixture(scope="module")
def model(folder: Path) -> TILDEv2:
    return TILDEv2.load(str(folder), device="cpu")


@pytest.fixture(scope="module")
def expansion(tmp_path_factory: pytest.TempPathFactory) -> Expansion:
    return Expansion.load(str(tilde(tmp_path_factory.mktemp("models") / "tilde")), top=40, device="cpu")


# ---- weights ------------------------------------------------------------------------------------


def test_the_released_layout_gives_the_released_weights(folder: Path, model: TILDEv2) -> None:
    state = torch.load(folder / "pytorch_model.bin", weights_only=True)
    bert = transformers.BertModel(transformers.AutoConfig.from_pretrained(folder)).eval()
    bert.load_state_dict({key[5:]: value for key, value in state.items() if key.startswith("bert.")})
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    found = model.weigh([model.layout(model.terms.tokens(text)) for text in TEXTS])
    for text, weights in zip(TEXTS, found, strict=True):
        inputs = tokenizer(text, truncation=True, max_length=64, return_tensors="pt")
        with torch.inference_mode():
            hidden = bert(**inputs).last_hidden_state
            expected = torch.relu(hidden @ state["tok_proj.weight"].T + state["tok_proj.bias"])[0, :, 0]
        np.testing.assert_allclose(weights, expected, atol=5e-6)
    flat = [weight for weights in found for weight in weights]
    assert min(flat) == 0.0, "some are cut off at 0, or this shows nothing about the ReLU"
    assert max(flat) > 0.5


def test_no_row_depends_on_the_others(model: TILDEv2) -> None:
    rows = [model.layout(model.terms.tokens(text)) for text in TEXTS]
    together = model.weigh(rows)
    assert together == [model.weigh([row])[0] for row in rows]
    assert together[::-1] == model.weigh(rows[::-1])


def test_padding_changes_nothing(model: TILDEv2) -> None:
    rows = [model.layout(model.terms.tokens(text)) for text in TEXTS]
    batch = as_tensors(torch, rows, model.tokenizer, "cpu")
    assert (batch["attention_mask"] == 0).any()
    with torch.inference_mode():
        hidden = model.module["bert"](**batch).last_hidden_state
        padded = model.module["tok_proj"](hidden).relu()[..., 0]
    for row, alone, mates in zip(rows, model.weigh(rows), padded, strict=True):
        np.testing.assert_allclose(alone, mates[: len(row.ids)], atol=1e-5)


def test_what_is_saved_is_what_is_loaded(folder: Path, model: TILDEv2, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "again")
    assert not (tmp_path / "again" / "pytorch_model.bin").exists()
    again = TILDEv2.load(str(tmp_path / "again"), device="cpu")
    rows = [model.layout(model.terms.tokens(text)) for text in TEXTS]
    assert again.weigh(rows) == model.weigh(rows)
    assert again.identity != model.identity, "another folder with other files"
    assert TILDEv2.load(str(folder), device="cpu").identity == model.identity
    names = set(read_weights(str(tmp_path / "again")))
    assert {"tok_proj.weight", "tok_proj.bias"} < names
    assert {name.split(".")[0] for name in names} == {"bert", "tok_proj"}


def test_it_can_be_trained_as_one_module(model: TILDEv2) -> None:
    names = dict(model.module.named_parameters())
    assert "tok_proj.weight" in names
    assert "bert.embeddings.word_embeddings.weight" in names


def test_other_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"is no TILDEv2: its file of weights has no tok_proj"):
        TILDEv2.load(str(cross_encoder(tmp_path / "ce")))
    other = tildev2(tmp_path / "other")
    state = torch.load(other / "pytorch_model.bin", weights_only=True) | {"query_proj.weight": torch.zeros(1)}
    torch.save(state, other / "pytorch_model.bin")
    with pytest.raises(BackendError, match=r"is no TILDEv2: its file of weights also has query_proj\.weight"):
        TILDEv2.load(str(other))
    (other / "pytorch_model.bin").write_bytes(b"half a file")
    with pytest.raises(BackendError, match=r"pytorch_model\.bin cannot be read as weights"):
        TILDEv2.load(str(other))
    (other / "pytorch_model.bin").unlink()
    with pytest.raises(BackendError, match=r"holds no weights: give a folder or hub model with one of"):
        TILDEv2.load(str(other))
    transformers.RobertaConfig().save_pretrained(other)
    with pytest.raises(BackendError, match="is a roberta, but TILDEv2 is made of a BERT"):
        TILDEv2.load(str(other))
    with pytest.raises(BackendError, match="the hub could not give it"):
        TILDEv2.load("no/such-model")


def test_pickled_objects_are_not_read(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "run",))

    folder = tildev2(tmp_path / "model")
    torch.save({"tok_proj.weight": Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(BackendError, match="cannot be read as weights"):
        TILDEv2.load(str(folder))
    assert not (tmp_path / "run").exists()


def test_weights_in_shards(tmp_path: Path, folder: Path) -> None:
    whole = read_weights(str(folder))
    names = sorted(whole)
    from safetensors.torch import save_file

    for number, part in enumerate((names[::2], names[1::2])):
        save_file({name: whole[name].contiguous() for name in part}, tmp_path / f"part-{number}.safetensors")
    index = {name: f"part-{i % 2}.safetensors" for i, name in enumerate(names)}
    import json

    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    read = read_weights(str(tmp_path))
    assert sorted(read) == names
    assert all((read[name] == whole[name]).all() for name in names)
    (tmp_path / "part-1.safetensors").unlink()
    with pytest.raises(BackendError, match=r"lacks part-1\.safetensors"):
        read_weights(str(tmp_path))


# ---- which tokens count -------------------------------------------------------------------------


def test_stop_words_and_marks_do_not_count_but_question_words_do(tmp_path: Path) -> None:
    tokenizer = bert_tokenizer(tmp_path)
    terms = Terms(tokenizer)
    counted = tokenizer.convert_ids_to_tokens(terms.query("Why does the milk, 3 of [SEP] milk curdles?"))
    assert counted == ["why", "milk", "3", "sep", "milk", "curdles"]
    assert terms.query("") == terms.query("the of ,.?") == []
    assert {"the", "does"} < STOP_WORDS
    assert STOP_WORDS.isdisjoint({"who", "what", "when", "where", "which", "why", "how"})
    # "zs" is z + ##s, the plural's; other pieces count.
    assert tokenizer.convert_ids_to_tokens(terms.query("zs zb")) == ["z", "z", "##b"]


def test_a_passage_cannot_write_special_tokens(model: TILDEv2) -> None:
    tokens = model.terms.tokens("milk [SEP] [CLS] [MASK] [unused0]")
    assert set(tokens).isdisjoint(set(model.tokenizer.all_special_ids) - {model.tokenizer.unk_token_id})


# ---- expansion ----------------------------------------------------------------------------------


def test_expansion_is_the_top_of_the_plain_logits(
    expansion: Expansion, model: TILDEv2, tmp_path: Path
) -> None:
    network = transformers.BertForMaskedLM.from_pretrained(tilde(tmp_path / "tilde")).eval()
    passages = [model.terms.tokens(text) for text in TEXTS]
    for text, ids, found in zip(TEXTS, passages, expansion.expand(passages, model), strict=True):
        inputs = model.tokenizer(text, truncation=True, max_length=64, return_tensors="pt")
        inputs["input_ids"][0, 0] = 1
        with torch.inference_mode():
            logits = network(**inputs).logits[0, 0]
        top = logits.topk(40).indices.tolist()
        never = {*ids, *model.terms.stopped, *model.tokenizer.convert_tokens_to_ids(["what", "why", "how"])}
        assert found == [token for token in top if token not in never]
        assert 0 < len(found) < 40


def test_expansions_do_not_depend_on_their_mates(expansion: Expansion, model: TILDEv2) -> None:
    passages = [model.terms.tokens(text) for text in TEXTS]
    assert expansion.expand(passages, model) == [expansion.expand([ids], model)[0] for ids in passages]


def test_the_passage_comes_first_and_the_best_of_the_expansion_is_kept(model: TILDEv2) -> None:
    assert model.limit == 64
    passage, separator = [60, 61, 62], model.tokenizer.sep_token_id
    start = model.tokenizer.cls_token_id
    row = model.layout(passage, [90, 80, 85])
    assert row.ids == [start, *passage, separator, 90, 80, 85, separator], "behind a separator, best first"
    assert row.types == [0] * len(row.ids)
    full = model.layout([60] * 59, [90, 80, 85])
    assert full.ids[59:] == [60, separator, 90, 80, separator], "the best two of three"
    assert len(full.ids) == 64
    cut = model.layout([60] * 70, [90])
    assert (len(cut.ids), cut.cut) == (64, 8)
    assert 90 not in cut.ids
    room = model.layout([60] * 70, [90], longest_passage=40)
    assert (len(room.ids), room.cut, room.ids[-3:]) == (42, 32, [separator, 90, separator])


def test_expansions_of_another_vocabulary_are_refused(model: TILDEv2, tmp_path: Path) -> None:
    transformers.BertForMaskedLM(bert_config(vocab_size=40)).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="the expansion knows 40 tokens, but the model has"):
        Expansion.load(str(tmp_path)).expand([[7]], model)
    with pytest.raises(InputError, match="top must be a whole number >= 1, but got 0"):
        Expansion.load(str(tmp_path), top=0)
    with pytest.raises(BackendError, match="is no TILDE: it has no weights for"):
        Expansion.load(str(cross_encoder(tmp_path / "ce")))
