"""A GGUF file gives the model that was written into it: weights, tokenizer, ends, positions, identity."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import tiny
import torch
import transformers
from plain import Reference, ask, chances
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tokenizers.trainers import BpeTrainer
from write_gguf import write

from limrank_plugins.backends.local import fingerprint
from limrank_plugins.backends.local.gguf_speed import quick_gguf
from limrank_plugins.backends.local.loading import model_name, pretrained
from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.backends.transformers import TransformersBackend
from limrank_plugins.errors import BackendError

PASSAGES = [
    "acid curdles milk because the proteins clump",
    "bread rises",
    "",
    "iron rusts in moist air",
]
REQUESTS = [ask("why does milk curdle in tea", passage) for passage in PASSAGES]
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
TEXTS = [
    "x\n\n2 apples",
    " a1b22  2024",
    "ne\u0301e <|im_end|> <think>",
    "Light bends; iron rusts.",
    "\u00a0 é\t\t!",
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module", params=["qwen2", "llama"])
def folder(request: pytest.FixtureRequest, home: Path) -> Path:
    """Llama with grouped heads: their rows are turned in a GGUF file."""
    particular = {"num_key_value_heads": 2} if request.param == "llama" else {}
    return tiny.build(home / request.param, request.param, intermediate_size=64, **particular)


@pytest.fixture(scope="module")
def qwen(home: Path) -> Path:
    return tiny.build(home / "plain", "qwen2")


def states(path: Path) -> dict[str, torch.Tensor]:
    return {
        name: value
        for name, value in pretrained("AutoModelForCausalLM", str(path)).state_dict().items()
        if name != "lm_head.weight"  # Llama's here is its embedding
    }


def scores(path: Path, **options: Any) -> list[float]:
    return chances(TransformersBackend(str(path), **options).read_labels(REQUESTS))


def test_a_file_of_32_bits_is_the_folder_bit_for_bit(folder: Path, tmp_path: Path) -> None:
    file = write(folder, tmp_path / "tiny.gguf", template=TEMPLATE)
    backend, other = TransformersBackend(str(file)), TransformersBackend(str(folder))
    assert chances(backend.read_labels(REQUESTS)) == chances(other.read_labels(REQUESTS))
    reference = Reference(folder, other)
    assert chances(backend.read_labels(REQUESTS)) == pytest.approx(
        [reference.probability(request) for request in REQUESTS], abs=1e-5
    )
    assert backend._ends == other._ends
    assert backend._length == other._length == 512


def test_its_tokenizer_is_the_folders_with_the_files_chat_template(folder: Path, tmp_path: Path) -> None:
    file = write(folder, tmp_path / "tiny.gguf", template=TEMPLATE)
    ours = pretrained("AutoTokenizer", str(file))
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    for text in [*TEXTS, *(request.prompt.text for request in REQUESTS)]:
        assert ours(text).input_ids == theirs(text).input_ids, text
    chat = [{"role": "user", "content": "hi"}]
    assert ours.apply_chat_template(chat, tokenize=False) == "<|im_start|>user\nhi<|im_end|>\n"
    assert (ours.eos_token, ours.pad_token) == (theirs.eos_token, theirs.pad_token)
    assert ours.name_or_path == str(file)


def test_16_bits_are_the_weights_rounded_once(folder: Path, tmp_path: Path) -> None:
    file = write(folder, tmp_path / "half.gguf", kind="F16")
    plain = load_file(folder / "model.safetensors")
    for name, value in states(file).items():
        assert torch.equal(value, plain[name].half().float() if value.ndim > 1 else plain[name]), name
    assert scores(file) == pytest.approx(scores(folder), abs=2e-3)


def test_q8_0_is_off_by_half_a_step_of_its_block_and_scores_by_less_than_a_twentieth(
    folder: Path, tmp_path: Path
) -> None:
    file = write(folder, tmp_path / "eight.gguf", kind="Q8_0")
    plain = load_file(folder / "model.safetensors")
    for name, value in states(file).items():
        if value.ndim > 1:
            blocks = plain[name].reshape(-1, 32)
            step = blocks.abs().amax(dim=1, keepdim=True) / 127
            off = (value.reshape(-1, 32) - blocks).abs()
            assert (off <= step * 0.5 + step * 127 * 2**-10).all(), name  # the step itself is kept in 16 bits
            assert off.max() > 0
    assert scores(file) == pytest.approx(scores(folder), abs=0.05)


def test_dtype_is_as_for_other_models(qwen: Path, tmp_path: Path) -> None:
    file = write(qwen, tmp_path / "tiny.gguf")
    assert ":bfloat16:" in TransformersBackend(str(file), dtype="bfloat16").identity
    assert scores(file, dtype="bfloat16") == scores(qwen, dtype="bfloat16")


def test_a_loaded_file_can_be_saved_and_trained_as_any_model(qwen: Path, tmp_path: Path) -> None:
    file = write(qwen, tmp_path / "tiny.gguf")
    model, tokenizer = (pretrained(kind, str(file)) for kind in ("AutoModelForCausalLM", "AutoTokenizer"))
    model.save_pretrained(tmp_path / "saved")
    tokenizer.save_pretrained(tmp_path / "saved")
    assert "quantization_config" not in (tmp_path / "saved" / "config.json").read_text()
    for saved in (tmp_path / "saved").glob("*.json"):
        assert "gguf" not in saved.read_text(), saved.name
    assert scores(tmp_path / "saved") == scores(qwen)
    loss = model(torch.tensor([[1, 2, 3, 4]]), labels=torch.tensor([[1, 2, 3, 4]])).loss
    loss.backward()
    assert model.model.embed_tokens.weight.grad.abs().sum() > 0


def test_another_models_files_beside_it_are_not_looked_at(qwen: Path, tmp_path: Path) -> None:
    file = write(qwen, tmp_path / "tiny.gguf")
    tiny.build(tmp_path, "qwen2", seed=3, tokens=tiny.tokenizer("llama"))
    assert pretrained("AutoTokenizer", str(file))("milk").input_ids == tiny.tokenizer()("milk").input_ids
    assert torch.equal(
        states(file)["model.norm.weight"], load_file(qwen / "model.safetensors")["model.norm.weight"]
    )


def test_a_file_without_a_name_is_known_by_how_it_begins(qwen: Path, tmp_path: Path) -> None:
    file = write(qwen, tmp_path / "tiny.gguf").rename(tmp_path / "sha256-0123")
    assert pretrained("AutoConfig", str(file)).hidden_size == 32


# ---- identity -----------------------------------------------------------------------------------


def test_an_identity_follows_the_files_contents(qwen: Path, tmp_path: Path, monkeypatch: Any) -> None:
    file = write(qwen, tmp_path / "tiny.gguf")
    first = TransformersBackend(str(file)).identity
    (tmp_path / "elsewhere").mkdir()
    copied = shutil.copyfile(file, tmp_path / "elsewhere" / "tiny.gguf")
    os.utime(copied, (1, 1))
    assert TransformersBackend(str(copied)).identity == first
    with file.open("r+b") as stream:
        stream.seek(-4, os.SEEK_END)
        stream.write(np.float32(0.125).tobytes())
    assert TransformersBackend(str(file)).identity != first
    # A large file is not read whole: its time counts, as in a folder.
    monkeypatch.setattr(fingerprint, "_WHOLE", 1000)
    before = model_name(str(file))
    os.utime(file, (1, 1))
    assert model_name(str(file)) != before


def test_an_adapter_on_a_file_names_it_and_is_found_again(qwen: Path, tmp_path: Path) -> None:
    import peft

    file = write(qwen, tmp_path / "tiny.gguf")
    model, tokenizer = (pretrained(kind, str(file)) for kind in ("AutoModelForCausalLM", "AutoTokenizer"))
    torch.manual_seed(1)
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"]))
    for name, weight in adapted.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.3)
    live = TransformersBackend.over(adapted.get_base_model().eval(), tokenizer)
    adapted.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    given = scores(tmp_path / "adapter")
    assert given == pytest.approx(chances(live.read_labels(REQUESTS)), abs=1e-5)
    assert given != pytest.approx(scores(file), abs=1e-3)
    found, plain = TransformersBackend(str(tmp_path / "adapter")), TransformersBackend(str(file))
    assert plain.identity.split(":")[1] in found.identity


# ---- what transformers leaves out ---------------------------------------------------------------


def digits_apart() -> Any:
    """As SmolLM2's: every digit is cut off first."""
    engine = Tokenizer(models.BPE())
    engine.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    engine.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    lines = [*tiny.CORPUS, *["\n\n1  2\n\n3   4 5 a\n\nb   c"] * 30]
    engine.train_from_iterator(
        lines, BpeTrainer(vocab_size=460, initial_alphabet=alphabet, show_progress=False)
    )
    engine.add_special_tokens(tiny.QWEN_SPECIAL)
    return tiny._wrapped(engine, eos_token="<|im_end|>", pad_token="<|endoftext|>")


def test_texts_are_split_at_every_digit_where_the_file_says_so(tmp_path: Path) -> None:
    tokens = digits_apart()
    folder = tiny.build(tmp_path / "model", "llama", tokens=tokens)
    named, unnamed = (
        pretrained("AutoTokenizer", str(write(folder, tmp_path / f"{pre}.gguf", pre=pre)))
        for pre in ("smollm", "gpt-2")
    )
    assert all(named(text).input_ids == tokens(text).input_ids for text in TEXTS)
    assert unnamed(TEXTS[0]).input_ids != tokens(TEXTS[0]).input_ids, "else the test shows nothing"


@pytest.mark.parametrize(
    ("pre", "begun", "prefix"),
    [("llama-bpe", None, 1), ("llama-bpe", False, 0), ("qwen2", None, 0), ("qwen2", True, 1)],
)
def test_texts_are_begun_and_split_as_llama_cpp_does(
    qwen: Path, tmp_path: Path, pre: str, begun: bool | None, prefix: int
) -> None:
    """Llama 3's files need not say that a text begins with BOS, and never say that whole words come first."""
    tokenizer = pretrained("AutoTokenizer", str(write(qwen, tmp_path / "x.gguf", pre=pre, begun=begun)))
    assert len(PromptEncoder(tokenizer).prefix) == prefix
    assert tokenizer.backend_tokenizer.model.ignore_merges == (pre == "llama-bpe")


def test_positions_are_turned_by_the_factors_of_llama_3(tmp_path: Path) -> None:
    scaling = {"rope_type": "llama3", "rope_theta": 500_000.0, "factor": 32.0, "low_freq_factor": 1.0}
    scaling |= {"high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
    folder = tiny.build(tmp_path / "model", "llama", rope_parameters=scaling, hidden_size=64, head_dim=16)
    turns = transformers.AutoModelForCausalLM.from_pretrained(folder).model.rotary_emb.inv_freq.numpy()
    factors = (500_000.0 ** (-np.arange(8) / 8) / turns).astype(np.float32)
    assert factors[0] == pytest.approx(1)
    assert factors[-1] == pytest.approx(32)
    file = write(folder, tmp_path / "a.gguf", edit=lambda w: w.add_tensor("rope_freqs.weight", factors))
    assert scores(file) == pytest.approx(scores(folder), abs=1e-5)
    odd = write(
        folder, tmp_path / "b.gguf", edit=lambda w: w.add_tensor("rope_freqs.weight", factors[::-1].copy())
    )
    with pytest.raises(BackendError, match="turns its positions by factors that transformers does not know"):
        TransformersBackend(str(odd))


def test_scaled_positions_and_biases_are_refused_rather_than_left_out(qwen: Path, tmp_path: Path) -> None:
    def yarn(writer: gguf.GGUFWriter) -> None:
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(4.0)

    with pytest.raises(BackendError, match=r"a\.gguf scales its positions \(yarn\).*give the model's folder"):
        TransformersBackend(str(write(qwen, tmp_path / "a.gguf", edit=yarn)))
    llama = tiny.build(tmp_path / "llama", "llama")
    bias = np.ones(32, np.float32)
    file = write(llama, tmp_path / "b.gguf", edit=lambda w: w.add_tensor("blk.0.attn_q.bias", bias))
    with pytest.raises(
        BackendError, match=r"1 bias \(blk\.0\.attn_q\.bias, …\), which transformers would leave"
    ):
        TransformersBackend(str(file))


def test_the_end_of_a_turn_ends_a_completion_too(qwen: Path, tmp_path: Path) -> None:
    end = tiny.tokenizer().convert_tokens_to_ids("<|endoftext|>")
    file = write(qwen, tmp_path / "tiny.gguf", edit=lambda writer: writer.add_eot_token_id(end))
    assert TransformersBackend(str(file))._ends == {end, tiny.tokenizer().eos_token_id}


def test_long_lists_are_skipped_and_all_else_is_read(tmp_path: Path) -> None:
    file = tmp_path / "long.gguf"
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_token_list([f"token {i}" * (i % 3) for i in range(5000)])
    writer.add_token_scores([float(i) for i in range(5000)])
    writer.add_array("llama.heads", [1, 2, 3])
    writer.add_name("behind them")
    writer.add_tensor("a", np.arange(6, dtype=np.float32).reshape(2, 3))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    plain = gguf.GGUFReader(file)
    with quick_gguf():
        assert gguf.GGUFReader is not type(plain)
        quick = gguf.GGUFReader(file)
    assert gguf.GGUFReader is type(plain)
    assert list(quick.fields) == list(plain.fields)
    for name, field in plain.fields.items():
        skipped = len(field.data) == 5000
        assert len(quick.fields[name].data) == len(field.data)
        assert quick.fields[name].types == field.types
        assert skipped or quick.fields[name].contents() == field.contents()
    assert (quick.tensors[0].data == plain.tensors[0].data).all()
