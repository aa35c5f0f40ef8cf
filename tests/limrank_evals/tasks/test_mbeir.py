"""M-BEIR: queries and candidates of any modality, with instructions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from benchmark_layouts import png, put_lines, put_text

from limrank_evals.measures import measure, parse_measure
from limrank_evals.tasks import mbeir
from limrank_evals.tasks.mbeir import MBEIR_TASKS, load_mbeir
from limrank_plugins.data import Document, Query
from limrank_plugins.errors import BackendError, InputError
from limrank_plugins.images import Image

TASK = "cirr_task7"
HEAD = "query_modality\tcand_modality\tdataset_name\tdataset_id\tprompt_1\tprompt_2\n"
TOLD = (
    "image,text\timage\tCIRR\t8\tFind it so changed.\tChange it so.\n"
    "image\timage\tCIRR\t8\tFind alike.\tAlike?\n"
)


def asked(name: str, text: str | None, picture: str | None, relevant: list[str]) -> dict[str, Any]:
    kind = ",".join(["image"] * (picture is not None) + ["text"] * (text is not None))
    return {
        "qid": name,
        "query_txt": text,
        "query_img_path": picture,
        "query_modality": kind,
        "pos_cand_list": relevant,
        "neg_cand_list": [],
    }


def candidate(name: str, text: str | None, picture: str | None) -> dict[str, Any]:
    kind = ",".join(["image"] * (picture is not None) + ["text"] * (text is not None))
    return {"did": name, "txt": text, "img_path": picture, "modality": kind, "src_content": None}


POOL = [candidate("8:1", None, "mbeir_images/1.png"), candidate("8:2", None, "mbeir_images/2.png")]
OTHERS = [candidate("2:9", "a fact", None)]
QUERIES = [
    asked("8:1", "with a hat", "mbeir_images/3.png", ["8:1"]),
    asked("8:2", None, "mbeir_images/3.png", ["8:2"]),
]


def put(folder: Path) -> Path:
    put_lines(folder / f"query/test/mbeir_{TASK}_test.jsonl", QUERIES)
    put_text(folder / f"qrels/test/mbeir_{TASK}_test_qrels.txt", "8:1 0 8:1 1 7\n8:2 0 8:2 1 7\n")
    put_lines(folder / f"cand_pool/local/mbeir_{TASK}_cand_pool.jsonl", POOL)
    put_lines(folder / "cand_pool/global/mbeir_union_test_cand_pool.jsonl", OTHERS + POOL)
    put_text(folder / "instructions/query_instructions.tsv", HEAD + TOLD)
    (folder / "mbeir_images").mkdir()
    for number in (1, 2, 3):
        (folder / f"mbeir_images/{number}.png").write_bytes(png(number))
    return folder


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MBEIR_TASKS, TASK, mbeir.MBeirTask(2, 2))
    monkeypatch.setattr(mbeir, "UNION", 3)


@pytest.mark.usefixtures("counted")
def test_a_task(tmp_path: Path):
    found = load_mbeir(TASK, put(tmp_path))
    benchmark = found
    three = (Image(png(3)),)
    assert benchmark.queries == (
        Query("with a hat", "8:1", "Find it so changed.", three),
        Query("Find alike.", "8:2", "Find alike.", three),  # a picture alone: the instruction is the text
    )
    assert benchmark.documents == (
        Document("", "8:1", images=(Image(png(1)),)),
        Document("", "8:2", images=(Image(png(2)),)),
    )
    assert benchmark.qrels == {"8:1": {"8:1": 1}, "8:2": {"8:2": 1}}
    assert (benchmark.split, benchmark.variant) == (TASK, "local pool, instruction 0")
    assert found.candidates == {}
    assert benchmark.checked() == ()


@pytest.mark.usefixtures("counted")
def test_the_union_of_pools_and_another_instruction(tmp_path: Path):
    found = load_mbeir(TASK, put(tmp_path), pool="union", instruction=1)
    assert [document.id for document in found.documents] == ["2:9", "8:1", "8:2"]
    assert [query.instruction for query in found.queries] == ["Change it so.", "Alike?"]
    assert found.variant == "union pool, instruction 1"
    with pytest.raises(
        InputError, match=r"query_instructions\.tsv, line 2: .* number 2 \(from 0\) was asked for"
    ):
        load_mbeir(TASK, tmp_path, instruction=2)
    with pytest.raises(InputError, match=r"query 2: a query without text needs an instruction"):
        load_mbeir(TASK, tmp_path, instruction=None)


@pytest.mark.usefixtures("counted")
def test_the_instruction_is_for_what_the_own_data_set_has(tmp_path: Path):
    shared = [{**QUERIES[0], "pos_cand_list": ["2:9", "8:1"]}, QUERIES[1]]
    put_lines(put(tmp_path) / f"query/test/mbeir_{TASK}_test.jsonl", shared)
    found = load_mbeir(TASK, tmp_path, pool="union")
    assert found.queries[0].instruction == "Find it so changed."


@pytest.mark.usefixtures("counted")
def test_a_runs_lists(tmp_path: Path):
    run = put_text(tmp_path / "clip.run", "8:1 Q0 2:9 1 3 x\n8:1 Q0 8:1 2 2 x\n")
    found = load_mbeir(TASK, put(tmp_path), pool="union", run=run)
    assert found.candidates == {"8:1": ["2:9", "8:1"]}
    assert found.are_ranked
    assert [document.id for document in found.documents] == ["2:9", "8:1", "8:2"]


@pytest.mark.usefixtures("counted")
def test_texts_without_pictures(tmp_path: Path):
    found = load_mbeir(TASK, put(tmp_path), images=False)
    assert not any(item.images for item in (*found.queries, *found.documents))


def test_ms_cocos_pools_have_the_split_in_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(MBEIR_TASKS, "mscoco_task0", mbeir.MBeirTask(1, 1))
    put_lines(tmp_path / "query/test/mbeir_mscoco_task0_test.jsonl", [asked("9:1", "a dog", None, ["9:5"])])
    put_text(tmp_path / "qrels/test/mbeir_mscoco_task0_test_qrels.txt", "9:1 0 9:5 1 0\n")
    put_lines(
        tmp_path / "cand_pool/local/mbeir_mscoco_task0_test_cand_pool.jsonl", [candidate("9:5", "x", None)]
    )
    put_text(tmp_path / "instructions/query_instructions.tsv", HEAD + "text\ttext\tMSCOCO\t9\tFind it.\n")
    assert load_mbeir("mscoco_task0", tmp_path).queries == (Query("a dog", "9:1", "Find it."),)


def test_recall_is_whether_anything_was_found():
    for known in MBEIR_TASKS.values():
        for name in known.measures:
            parse_measure(name)
    measured = measure({"1": ["x", "a"]}, {"1": {"a": 1, "b": 1}}, ["Success@5"])
    assert measured.means == {"Success@5": 1.0}


def test_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert len(MBEIR_TASKS) == 16
    with pytest.raises(InputError, match="M-BEIR cirr_task7, queries: 2, but 4,170 were published"):
        load_mbeir(TASK, put(tmp_path))
    monkeypatch.setitem(MBEIR_TASKS, TASK, mbeir.MBeirTask(2, 21_551))
    with pytest.raises(InputError, match="M-BEIR cirr_task7, candidates: 2, but 21,551 were published"):
        load_mbeir(TASK, tmp_path)
    with pytest.raises(InputError, match="candidates: 3, but 5,609,079 were published"):
        load_mbeir(TASK, tmp_path, pool="union")
    (told,) = load_mbeir(TASK, tmp_path, strict=False).checked()
    assert "2, but 21,551" in told


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        (
            f"qrels/test/mbeir_{TASK}_test_qrels.txt",
            "8:1 0 8:1 1\n",
            "line 1: M-BEIR's judgements have 5 columns",
        ),
        (
            f"qrels/test/mbeir_{TASK}_test_qrels.txt",
            "8:1 0 8:1 x 7\n",
            "line 1: the grade must be a whole number",
        ),
        (f"qrels/test/mbeir_{TASK}_test_qrels.txt", "", "holds no judgements"),
        (
            f"query/test/mbeir_{TASK}_test.jsonl",
            '{"qid": "8:1"}\n',
            "query 1: 'pos_cand_list' cannot be None",
        ),
        (
            f"query/test/mbeir_{TASK}_test.jsonl",
            '{"qid": "8:1", "query_txt": "x", "query_modality": "text", "pos_cand_list": ["8:1"]}\n',
            "query 1: there is no instruction for data set '8' from 'text' to 'image'",
        ),
        (
            f"cand_pool/local/mbeir_{TASK}_cand_pool.jsonl",
            '{"did": "8:1", "txt": "x"}\n',
            "candidate 1: 'modality'",
        ),
        (
            f"cand_pool/local/mbeir_{TASK}_cand_pool.jsonl",
            '{"did": "8:1", "modality": "image", "img_path": "../../etc/x.png"}\n',
            "candidate 1: the image .* must be in the folder",
        ),
        (
            f"cand_pool/local/mbeir_{TASK}_cand_pool.jsonl",
            '{"did": "8:1", "modality": "image", "img_path": "mbeir_images/9.png"}\n',
            r"candidate 1: the image .*9\.png' cannot be read",
        ),
        ("instructions/query_instructions.tsv", HEAD + "image\timage\n", "line 2: expected two modalities"),
    ],
)
def test_wrong_rows(tmp_path: Path, file: str, text: str, told: str):
    put_text(put(tmp_path) / file, text)
    with pytest.raises(InputError, match=told):
        load_mbeir(TASK, tmp_path, strict=False)


def test_what_is_not_there(tmp_path: Path):
    with pytest.raises(InputError, match="no task 'cirr'; it has visualnews_task0"):
        load_mbeir("cirr", tmp_path)
    with pytest.raises(InputError, match="pool must be 'local' or 'union'"):
        load_mbeir(TASK, tmp_path, pool="global")
    with pytest.raises(InputError, match="split must be 'test' or 'val'"):
        load_mbeir(TASK, tmp_path, "train")
    with pytest.raises(InputError, match=r"archive: `hf download TIGER-Lab/M-BEIR .*`cat mbeir_images"):
        load_mbeir(TASK)
    with pytest.raises(BackendError, match="cannot be read from the hub"):
        load_mbeir(TASK, images=False)
    with pytest.raises(InputError, match=r"holds none of qrels/val/mbeir_cirr_task7_val_qrels\.txt"):
        load_mbeir(TASK, put(tmp_path), "val")
