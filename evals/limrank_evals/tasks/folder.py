"""Any folder of corpus, queries and judgements: see `limrank_evals.tasks.beir`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from limrank_evals.splits import Split
from limrank_evals.tasks.beir import QRELS_ENDINGS, QRELS_FILES, QUERY_FILES, load_folder
from limrank_evals.tasks.task import Task
from limrank_plugins import samples
from limrank_plugins.corpus import Corpus, is_samples
from limrank_plugins.errors import InputError
from limrank_plugins.index_folders import is_index

MEASURES = ("nDCG@10", "MAP@100", "R@100", "RR@10")
_ENDINGS = tuple(f"{ending}{packed}" for ending in QRELS_ENDINGS for packed in ("", ".gz"))


def load(
    split: str,
    source: str,
    *,
    strict: bool = True,
    name: str = "",
    field: str | None = None,
    title_field: str | None = None,
    passages: str | None = None,
) -> Split:
    """One split; raises as `load_folder` does. There are no published counts that `strict` could mean."""
    corpus = Corpus(str(_folder(source)), field, title_field, passages)
    benchmark = load_folder(corpus, split, name=name)
    if is_samples(source):
        benchmark = replace(benchmark, licence="MIT, like this package")
    return Split(benchmark, MEASURES)


def find(source: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the files in `qrels/`; `test` where there is a `qrels.trec` instead.

    Raises:
        InputError: no such folder, or no judgements in it.
    """
    place = _folder(source)
    if not place.is_dir():
        raise InputError(
            f"there is no folder {source!r}: give one that holds texts or corpus.jsonl, queries.jsonl and "
            f"judgements, or the word samples"
        )
    files = [file.name for file in (place / "qrels").glob("*")]
    splits = {name.removesuffix(ending) for name in files for ending in _ENDINGS if name.endswith(ending)}
    if not splits and not _is_there(place, QRELS_FILES):
        lacking = "no judgements" if _is_there(place, QUERY_FILES) else "no queries and no judgements"
        in_qrels = ", ".join(f"qrels/<split>{ending}" for ending in QRELS_ENDINGS)
        raise InputError(
            f"{place} holds {lacking}: to be measured it needs queries (one of {', '.join(QUERY_FILES)}) and "
            f"judgements of them (one of {', '.join(QRELS_FILES)}, or {in_qrels}); each may end in .gz, and "
            f"docs/your-files.md shows a line of them"
        )
    return tuple(sorted(splits)) or ("test",)


def _is_there(place: Path, names: Iterable[str]) -> bool:
    return any((place / f"{name}{packed}").is_file() for name in names for packed in ("", ".gz"))


def _folder(source: str) -> Path:
    if is_index(source):
        raise InputError(
            f"{source!r} is an index, without queries and judgements: name the folder of texts that has them"
        )
    return samples.corpus_path().parent if is_samples(source) else Path(source)


TASK = Task(
    name="folder",
    title="Any folder that holds texts or corpus.jsonl, queries.jsonl and qrels/<split>.tsv or qrels.trec.",
    about="Texts are what `limrank search` reads. excluded.txt beside them (lines 'query document') names "
    "documents that must not count. The word samples stands for the collection that comes with the package.",
    load=load,
    find=find,
    helps={"name": "What results call it; default: the folder's name."},
)
