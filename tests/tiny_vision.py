"""Tiny random models that see, with processors made in code, and tiny pictures.

`build(folder, "llava")` and `build(folder, "qwen2_5_vl")` write what the hub's folders hold.
"""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path
from typing import Any

import PIL.Image
import safetensors.torch
import tiny
import torch
import transformers
from tokenizers import AddedToken

from limrank_plugins.images import Image

# LLaVA 1.5's template: every picture of a message first, then its texts.
LLAVA_CHAT = (
    "{% for m in messages %}{{ m['role'].upper() }}: "
    "{% for part in m['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for part in m['content'] | selectattr('type', 'equalto', 'text') %}{{ part['text'] + ' ' }}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
QWEN_CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for part in m['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.35,
}


def picture(
    colour: tuple[int, int, int] = (200, 30, 30), size: tuple[int, int] = (40, 30), seed: int = 0
) -> Image:
    """A PNG: noise around a colour."""
    noise = torch.randint(-30, 30, (size[1], size[0], 3), generator=torch.Generator().manual_seed(seed))
    pixels = (noise + torch.tensor(colour)).clamp(0, 255).to(torch.uint8).numpy()
    stream = io.BytesIO()
    PIL.Image.fromarray(pixels).save(stream, "PNG")
    return Image(stream.getvalue())


def vision_tokenizer(*special: str) -> Any:
    """The tiny Qwen tokenizer with more special tokens."""
    tokens = tiny.qwen_tokenizer()
    tokens.add_special_tokens({"additional_special_tokens": [AddedToken(t, special=True) for t in special]})
    return tokens


def build(folder: Path, family: str = "llava", seed: int = 0, **text: Any) -> Path:
    """Write a tiny model and its processor into a folder, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    logging.getLogger("transformers").setLevel(logging.ERROR)  # it tells of torchvision at every turn
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        (_llava if family == "llava" else _qwen)(folder, _TEXT | text)
    return folder


def _llava(folder: Path, text: dict[str, Any]) -> None:
    tokens = vision_tokenizer("<image>")
    shared = {"vocab_size": len(tokens), "bos_token_id": None, "eos_token_id": tokens.eos_token_id}
    sight = transformers.CLIPVisionConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, image_size=28,
        patch_size=14, projection_dim=16, initializer_range=0.35,
    )  # fmt: skip
    config = transformers.LlavaConfig(
        vision_config=sight,
        text_config=transformers.LlamaConfig(**(text | shared | {"pad_token_id": None})),
        image_token_index=tokens.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
    )
    transformers.LlavaForConditionalGeneration(config).eval().save_pretrained(folder)
    sized = {"size": {"shortest_edge": 28}, "crop_size": {"height": 28, "width": 28}}
    processor = transformers.LlavaProcessor(
        image_processor=transformers.CLIPImageProcessorPil(**sized),
        tokenizer=tokens,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=LLAVA_CHAT,
    )
    processor.save_pretrained(folder)


def _qwen(folder: Path, text: dict[str, Any]) -> None:
    names = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    tokens = vision_tokenizer(*names)
    kinds = ("vision_start", "vision_end", "image", "video")
    ids = dict(zip(kinds, tokens.convert_tokens_to_ids(names), strict=True))
    config = transformers.Qwen2_5_VLConfig(
        text_config=text
        | {
            "vocab_size": len(tokens),
            "bos_token_id": None,
            "eos_token_id": tokens.eos_token_id,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]},
        },
        vision_config={
            "depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 4, "out_hidden_size": 32,
            "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2, "fullatt_block_indexes": [1],
            "window_size": 56, "initializer_range": 0.35,
        },
        **{f"{name}_token_id": number for name, number in ids.items()},
    )  # fmt: skip
    transformers.Qwen2_5_VLForConditionalGeneration(config).eval().save_pretrained(folder)
    tokens.chat_template = QWEN_CHAT
    tokens.save_pretrained(folder)
    transformers.Qwen2VLImageProcessorPil(min_pixels=28 * 28, max_pixels=28 * 28 * 16).save_pretrained(folder)
    # As the hub's folders have it: the class that needs torchvision for its videos.
    name = folder / "preprocessor_config.json"
    config_of = json.loads(name.read_text("utf-8"))
    config_of |= {"processor_class": "Qwen2_5_VLProcessor", "image_processor_type": "Qwen2VLImageProcessor"}
    name.write_text(json.dumps(config_of), "utf-8")


def build_clip(folder: Path, seed: int = 0) -> Path:
    """Write a tiny CLIP model and its processor into a folder, and return the folder."""
    tokens = vision_tokenizer("<image>")
    tokens.model_max_length = 64
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = transformers.CLIPConfig(
        text_config=shape
        | {"max_position_embeddings": 64, "vocab_size": len(tokens), "eos_token_id": tokens.eos_token_id}
        | {"bos_token_id": None, "pad_token_id": tokens.pad_token_id, "projection_dim": 16},
        vision_config=shape | {"image_size": 28, "patch_size": 14, "projection_dim": 16},
        projection_dim=16,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        transformers.CLIPModel(config).eval().save_pretrained(folder)
    sized = {"size": {"shortest_edge": 28}, "crop_size": {"height": 28, "width": 28}}
    pictures = transformers.CLIPImageProcessorPil(**sized)
    transformers.CLIPProcessor(image_processor=pictures, tokenizer=tokens).save_pretrained(folder)
    return folder


OWN_CODE = '''
import torch
from transformers import PretrainedConfig, PreTrainedModel


class OwnConfig(PretrainedConfig):
    model_type = "own"


class Own(PreTrainedModel):
    """Encodes as nvidia/MM-Embed does; its vectors are counts that a test can compute by hand."""

    config_class = OwnConfig

    def __init__(self, config):
        super().__init__(config)
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.post_init()

    def encode(self, items, is_query=False, instruction="", max_length=4096):
        rows = []
        for item in items:
            assert set(item) <= {"txt", "img"} and item
            text, image = item.get("txt", ""), item.get("img")
            colour = torch.tensor(image.resize((1, 1)).getpixel((0, 0))).float() if image else torch.zeros(3)
            counts = torch.tensor([len(text), is_query, len(instruction), max_length])
            rows.append(torch.cat([counts, colour]))
        return {"hidden_states": torch.stack(rows) * self.weight}
'''


def build_own(folder: Path) -> Path:
    """Write a model that brings its own code, as a hub folder with `auto_map` does."""
    folder.mkdir(parents=True)
    (folder / "modeling_own.py").write_text(OWN_CODE, "utf-8")
    names = {"AutoConfig": "modeling_own.OwnConfig", "AutoModel": "modeling_own.Own"}
    config = {"model_type": "own", "auto_map": names, "architectures": ["Own"]}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    safetensors.torch.save_file({"weight": torch.ones(1)}, folder / "model.safetensors", {"format": "pt"})
    return folder
