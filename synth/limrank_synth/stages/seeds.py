"""Where queries come from: a TSV like MS MARCO's, a JSONL file, or a dataset of the hub."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from pathlib import Path

from limrank_plugins.errors import InputError, require
from limrank_plugins.io import read_queries
from limrank_plugins.readouts.usable import can_be_seen
from limrank_plugins.wording import number_of, verb_for
from limrank_synth.records import Seed, Source

MS_MARCO = Source("MS MARCO", "MS MARCO terms: non-commercial research", commercial=False)


def read_seeds(path: str, *, source: Source | None = None, column: str = "query") -> list[Seed]:
    """Seeds of a `.tsv` (id, tab, text) or `.jsonl` (`_id`, `text`), or of a hub dataset `hub:name[:split]`.

    Args:
        path: the file or dataset.
        source: whose texts they are. Default: the file's or dataset's name, licence unknown.
        column: of a hub dataset, the one that holds the text.

    Raises:
        InputError: nothing there, or a line that is not as it should be; it is named.
    """
    if path.startswith("hub:"):
        seeds = list(_from_hub(path, source, column))
    else:
        known = source if source is not None else Source(Path(path).name)
        seeds = [Seed(query.id, query.text, known) for query in read_queries(path)]
    if not seeds:
        raise InputError(f"{path} holds no seeds")
    return seeds


def drawn(seeds: Iterable[Seed], count: int | None, seed: int) -> list[Seed]:
    """So many of them, drawn without repetition and in their own order; all for None.

    Raises:
        InputError: more are wanted than there are.
    """
    pool = list(seeds)
    if count is None:
        return pool
    if not 1 <= count <= len(pool):
        raise InputError(
            f"{number_of(count, 'seed')} {verb_for(count, 'are')} wanted, but there are {len(pool):,}"
        )
    chosen = random.Random(seed).sample(range(len(pool)), count)
    return [pool[i] for i in sorted(chosen)]


def _from_hub(path: str, source: Source | None, column: str) -> Iterator[Seed]:
    datasets = require("datasets", "synth", "seeds from the hub")
    name, _, split = path.removeprefix("hub:").partition(":")
    try:
        rows = datasets.load_dataset(name, split=split or "train", streaming=False)
    except (OSError, ValueError) as error:
        raise InputError(f"dataset {name!r} cannot be had: {error}") from error
    if column not in rows.column_names:
        raise InputError(f"dataset {name!r} has no column {column!r}; there are: {rows.column_names}")
    known = source if source is not None else Source(name)
    for number, row in enumerate(rows):
        text = row[column]
        if not isinstance(text, str) or not can_be_seen(text):
            raise InputError(f"dataset {name!r}, row {number}: {column!r} is not a text but {text!r}")
        yield Seed(str(row.get("_id", row.get("id", number))), text, known)
