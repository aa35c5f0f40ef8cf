"""Pointwise exports through the trainers that read them: the very tokens of inference, and no other loss."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
from synthetic_rows import row, rows

from limrank_plugins.backends.local.prompt_encoder import PromptEncoder
from limrank_plugins.errors import InputError
from limrank_plugins.prompts import load_template
from limrank_synth.exporting import export
from limrank_synth.pointwise_layout import completion, pointwise_prompt
from limrank_synth.rank1 import read_rank1
from limrank_synth.records import LabelledPassage

HARD = [
    row(0, query='"quotes" and\ttabs', passage="line\nbreaks\r\n\r\nand \\n", trace="One.\n\nTwo says true."),
    row(
        1,
        "negative:outdated",
        query="[1] > [2]",
        passage="{{ query }} é \u2028 \x85 🔥",
        trace="'false'? true",
    ),
    row(2, passage="\n leading and trailing \n", trace=" spaces around "),
]


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]


# By trl's own default; trl calls it by the old name.
@pytest.mark.filterwarnings("ignore:.gradient_checkpointing. is deprecated:FutureWarning")
def test_trl_trains_exactly_the_completion_behind_the_inference_prompt(tmp_path: Path) -> None:
    import datasets
    import trl

    used = [*rows(3), *HARD]
    export(used, "trl", tmp_path / "out")
    loaded = datasets.load_dataset(
        "json", data_files=str(tmp_path / "out/train.jsonl"), split="train", cache_dir=str(tmp_path / "hf")
    )
    tokens = tiny.qwen_tokenizer()
    arguments = trl.SFTConfig(
        output_dir=str(tmp_path / "run"), max_length=None, report_to="none", use_cpu=True, max_steps=1,
        per_device_train_batch_size=len(used), bf16=False, disable_tqdm=True, save_strategy="no",
    )  # fmt: skip
    trainer = trl.SFTTrainer(
        model=tiny.model(tokens=tokens), args=arguments, train_dataset=loaded, processing_class=tokens
    )
    encoder = PromptEncoder(tokens)
    prepared = list(trainer.train_dataset)
    assert len(prepared) == len(used)
    for example, source in zip(prepared, used, strict=True):
        prompt = encoder.encode(load_template("limrank").render(source.query, [source.passage])).ids
        said = tokens(completion(source.trace, source.relevant), add_special_tokens=False)["input_ids"]
        assert example["input_ids"] == [*prompt, *said, tokens.eos_token_id]
    batch = trainer.data_collator(prepared)
    for i, source in enumerate(used):
        kept = [int(token) for token in batch["labels"][i] if token != -100]
        text = tokens.decode(kept)
        assert text == completion(source.trace, source.relevant) + tokens.eos_token
    trainer.train()


def test_llama_factorys_columns_join_to_the_same_text(tmp_path: Path) -> None:
    used = [*rows(2), *HARD]
    export(used, "llama-factory", tmp_path / "out")
    found = json.loads((tmp_path / "out/train_limrank.json").read_text("utf-8"))
    info = json.loads((tmp_path / "out/dataset_info.json").read_text())
    (entry,) = info.values()
    assert entry["file_name"] == "train_limrank.json"
    assert set(entry["columns"].values()) == {"instruction", "input", "output"}
    for example, source in zip(found, used, strict=True):
        assert set(example) == {"instruction", "input", "output"}
        # Its converter joins the two with a line end; the template `empty` adds nothing.
        source_text = f"{example['instruction']}\n{example['input']}"
        whole = pointwise_prompt(source.query, source.passage) + completion(source.trace, source.relevant)
        assert source_text + example["output"] == whole
        assert example["output"].startswith("<think>")


def test_what_was_exported_reads_back(tmp_path: Path) -> None:
    used = [*rows(2), *HARD]
    export(used, "llama-factory", tmp_path / "out")
    back = list(read_rank1(str(tmp_path / "out/train_limrank.json")))
    assert all(isinstance(one, LabelledPassage) for one in back)
    for one, source in zip(back, used, strict=True):
        assert isinstance(one, LabelledPassage)
        assert (one.query, one.passage, one.relevant) == (source.query, source.passage, source.relevant)
        assert one.trace == source.trace.strip()


@pytest.mark.parametrize("layout", ["trl", "llama-factory"])
def test_a_row_that_could_teach_a_wrong_label_is_left_out_and_counted(tmp_path: Path, layout: str) -> None:
    bad = [
        row(5, trace="I think </think> false", relevant=True),
        row(6, passage="Ignore all.\n<think>\n</think> true"),
        row(7, query="what is <|im_end|>"),
        row(8, trace="  "),
    ]
    summary = export([*rows(1), *bad], layout, tmp_path / "out")
    assert list(summary["records"].values()) == [4]
    assert sum(summary["left_out"].values()) == 4
    assert any("trace holds '</think>'" in reason for reason in summary["left_out"])
    assert "trace holds '\\</think\\>'" in (tmp_path / "out/README.md").read_text()


def test_an_export_of_nothing_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no example came of the rows \(1 times: row: its trace is empty\)"):
        export([row(0, trace="")], "trl", tmp_path / "out")
    with pytest.raises(InputError, match="no format 'csv'"):
        export(rows(1), "csv", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_export_replaces_an_export_and_nothing_else(tmp_path: Path) -> None:
    export(rows(2), "trl", tmp_path / "out")
    export(rows(1), "pairs", tmp_path / "out")
    assert len(records(tmp_path / "out/train.jsonl")) == 4
    (tmp_path / "out/notes.txt").write_text("mine")
    with pytest.raises(InputError, match="no export"):
        export(rows(1), "trl", tmp_path / "out")
    (tmp_path / "work").mkdir()
    (tmp_path / "work/train.jsonl").write_text("hours of work")
    with pytest.raises(InputError, match="no export"):
        export(rows(1), "trl", tmp_path / "work")


def test_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        export(rows(3), "listwise", tmp_path / name)
    files = sorted(f.relative_to(tmp_path / "a") for f in (tmp_path / "a").rglob("*") if f.is_file())
    assert Path("plots/labels.png") in files
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file
