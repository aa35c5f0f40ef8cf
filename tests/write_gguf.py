"""Write a tiny Qwen or Llama (as tests/tiny.py builds it) as a GGUF file: python write_gguf.py FOLDER FILE.

Runs where the `gguf` package is, which needs neither torch nor transformers.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np

NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
TOPS = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}


def tensors(path: Path) -> dict[str, np.ndarray]:
    """A safetensors file of float32 tensors."""
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    found = {}
    for name, entry in json.loads(raw[8 : 8 + size]).items():
        if name != "__metadata__":
            assert entry["dtype"] == "F32", (name, entry)
            start, stop = entry["data_offsets"]
            values = np.frombuffer(raw[8 + size + start : 8 + size + stop], dtype=np.float32)
            found[name] = values.reshape(entry["shape"])
    return found


def renamed(name: str) -> str:
    if name in TOPS:
        return TOPS[name]
    layer, rest = name.removeprefix("model.layers.").split(".", 1)
    part, kind = rest.rsplit(".", 1)
    return f"blk.{layer}.{NAMES[part]}.{kind}"


def turned(values: np.ndarray, heads: int) -> np.ndarray:
    """Rows of a head as llama.cpp turns them: pairs side by side instead of in two halves."""
    return values.reshape(heads, 2, values.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(values.shape)


def write(
    folder: Path,
    target: Path,
    *,
    kind: str = "F32",
    pre: str = "qwen2",
    tokenizer: bool = True,
    template: str | None = None,
    begun: bool | None = False,
    edit: Callable[[gguf.GGUFWriter], None] | None = None,
) -> Path:
    """Write a folder of a Qwen2, Qwen3 or Llama as a GGUF file.

    Args:
        folder: as `save_pretrained` wrote it, in float32.
        target: the file.
        kind: of matrices: F32, F16 or Q8_0. Vectors stay as they are.
        pre: how texts are split, as llama.cpp calls it.
        tokenizer: whether to write it, too.
        template: a chat template.
        begun: whether the file says that a text begins with <|endoftext|>; None: it says nothing of it.
        edit: adds what a test needs.
    """
    config = json.loads((folder / "config.json").read_text())
    architecture = config["model_type"]
    writer = gguf.GGUFWriter(target, architecture)
    writer.add_type("model")
    writer.add_name("tiny")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    rope = config.get("rope_parameters") or {}
    writer.add_rope_freq_base(rope.get("rope_theta", config.get("rope_theta", 10000.0)))
    if architecture == "llama":
        writer.add_rope_dimension_count(config["hidden_size"] // config["num_attention_heads"])
    if architecture == "qwen3":
        writer.add_key_length(config["head_dim"])
        writer.add_value_length(config["head_dim"])
    if tokenizer:
        add_tokenizer(writer, json.loads((folder / "tokenizer.json").read_text()), config, pre, begun)
    if template is not None:
        writer.add_chat_template(template)
    quantised = getattr(gguf.GGMLQuantizationType, kind)
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    for name, values in tensors(folder / "model.safetensors").items():
        turn = next((heads[part] for part in heads if f".{part}." in name), None)
        if turn is not None and architecture == "llama":
            values = turned(values, turn)
        if values.ndim == 1:
            writer.add_tensor(renamed(name), values)
        else:
            raw = gguf.quantize(values, quantised)
            writer.add_tensor(renamed(name), raw, raw_dtype=quantised)
    if edit is not None:
        edit(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def add_tokenizer(
    writer: gguf.GGUFWriter, tokenizer: dict, config: dict, pre: str, begun: bool | None
) -> None:
    added = {entry["id"]: entry for entry in tokenizer["added_tokens"]}
    names = {number: token for token, number in tokenizer["model"]["vocab"].items()}
    names |= {number: entry["content"] for number, entry in added.items()}
    assert sorted(names) == list(range(config["vocab_size"]))
    kinds = gguf.TokenType
    types = [
        kinds.NORMAL
        if number not in added
        else kinds.CONTROL
        if added[number]["special"]
        else kinds.USER_DEFINED
        for number in range(len(names))
    ]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list([names[number] for number in range(len(names))])
    writer.add_token_types(types)
    merges = tokenizer["model"]["merges"]
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    writer.add_eos_token_id(next(n for n, e in added.items() if e["content"] == "<|im_end|>"))
    writer.add_pad_token_id(next(n for n, e in added.items() if e["content"] == "<|endoftext|>"))
    writer.add_bos_token_id(next(n for n, e in added.items() if e["content"] == "<|endoftext|>"))
    if begun is not None:
        writer.add_add_bos_token(begun)


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]))
