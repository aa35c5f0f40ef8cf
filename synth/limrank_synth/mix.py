"""One training set out of Rank1-style and synthetic rows, as LIMRANK's 20K = 14K + 6K.

Memory holds some hundred bytes for each row of the pool; the rows themselves wait on disk.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from limrank_plugins.checks import whole_number
from limrank_plugins.errors import InputError
from limrank_plugins.files import json_line, read_json, read_json_object
from limrank_plugins.outputs import (
    check_ours,
    check_output,
    make_folder,
    write_json,
    write_parts,
    writing_whole,
)
from limrank_synth.guidelines import load_guidelines
from limrank_synth.limrank_open import read_sources, row_files
from limrank_synth.pointwise_layout import problem
from limrank_synth.quotas import largest_remainder
from limrank_synth.rank1 import read_rank1
from limrank_synth.records import DIFFICULTIES, KINDS, LabelledPassage, Rejection, Source
from limrank_synth.run_files import LEDGER, REJECTED, REPORT, ROWS
from limrank_synth.source_licences import check_commercial, declared, table
from limrank_synth.spool import Spool

MIX = "mix.json"
"""What is in a mix and how it was made, beside its `rows.jsonl`."""

PartName = Literal["rank1", "synthetic"]
PARTS: tuple[PartName, ...] = ("synthetic", "rank1")  # of equal rows, the scarcer part's stays
_TITLES = {"rank1": "Rank1-style", "synthetic": "synthetic"}

Stratum = tuple[bool, str, str]
"""Label, kind, difficulty; the latter two are empty for Rank1-style rows."""


@dataclass(frozen=True, slots=True)
class Blend:
    """What is wanted.

    Attributes:
        rank1, synthetic: rows of each part. The paper's numbers are the default.
        relevant: the share of relevant rows, the same in both parts, so that a row's style says nothing
            about its label (the paper gives none). None: in each part as in its pool.
        strata: how a label's synthetic rows are spread over kind and difficulty: as in the `"pool"`, or
            as the shipped `"guidelines"` have it.
        seed: of the draw. With one seed, a mix of fewer rows is drawn from the rows of the larger one
            wherever no stratum's quota shrinks: for experiments on data size.
    """

    rank1: int = 14_000
    synthetic: int = 6_000
    relevant: float | None = 0.5
    strata: Literal["pool", "guidelines"] = "pool"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("rank1", "synthetic"):
            whole_number(f"the number of {_TITLES[name]} rows", getattr(self, name), least=0)
        if self.rank1 + self.synthetic == 0:
            raise InputError("a mix of 0 rows is wanted: give at least one of both numbers")
        if self.relevant is not None and not 0 <= self.relevant <= 1:
            raise InputError(f"the share of relevant rows must be in [0, 1], but is {self.relevant!r}")
        if self.strata not in ("pool", "guidelines"):
            raise InputError(f"strata must be 'pool' or 'guidelines', but is {self.strata!r}")


class _Entry(NamedTuple):
    number: int
    part: PartName
    stratum: Stratum
    digest: bytes
    sources: tuple[Source, ...]


@dataclass
class _Pool:
    """What was read, without the texts."""

    entries: dict[bytes, _Entry] = field(default_factory=dict)
    contradictory: set[bytes] = field(default_factory=set)
    counts: dict[PartName, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in PARTS})
    ids: dict[str, bytes] = field(default_factory=dict)

    def add(self, part: PartName, row: LabelledPassage, digest: bytes, spool: Spool) -> None:
        """Take a row in, unless its query and passage were there before."""
        known = self.entries.get(digest)
        if known is not None:
            counts = self.counts[part]
            counts["duplicates" if known.part == part else "duplicates_across"] += 1
            if known.stratum[0] != row.relevant:
                self.contradictory.add(digest)
            return
        if self.ids.setdefault(row.id, digest) != digest:
            raise InputError(
                f"two different rows have the id {row.id!r}: no row of a mix could be named by it"
            )
        stratum = (row.relevant, row.kind, row.difficulty)
        self.entries[digest] = _Entry(spool.add(row), part, stratum, digest, row.sources)


def mix(
    rank1: Sequence[str],
    synthetic: Sequence[str],
    output: Path,
    blend: Blend | None = None,
    *,
    allow_non_commercial: bool = False,
    commercial: Collection[str] = (),
) -> dict[str, Any]:
    """Build a mix: `rows.jsonl`, `mix.json` and, of what could not be used, `rejected.jsonl`.

    Rows with the same query and passage (white space aside) are one row; where they have different
    labels, none of them is used. Rows that cannot be trained on (`pointwise_layout.problem`) are not either.
    The result depends on the rows and the blend, not on the order of rows or files, as long as equal
    rows have equal traces.

    Args:
        rank1: see `read_rank1`.
        synthetic: files of rows, or folders of runs; of a folder, the run's report goes into `mix.json`.
        output: the mix's folder; not a run's, and without files of these names that are not a mix's.
        blend: what is wanted; default: the paper's.
        allow_non_commercial: see `licences.check_commercial`.
        commercial: names of sources that are declared to be for commercial use.

    Returns:
        What `mix.json` holds.

    Raises:
        InputError: too few rows of a stratum (each is named), sources that are not for commercial use,
            a file that cannot be read, or one in the output's place that is not a mix's.
    """
    wanted = blend if blend is not None else Blend()
    if any((output / name).exists() for name in (REPORT, LEDGER)):
        raise InputError(f"{output} is a run's folder, whose rows would be overwritten: choose another one")
    for name in (ROWS, REJECTED, MIX):
        check_ours(output / name, lambda _: _is_mix(output), option="--output")
    read: list[str | Path] = [*rank1, *(file for path in synthetic for file in row_files(path))]
    for file in read:
        check_output(output / ROWS, file)
        check_output(output / REJECTED, file)
    make_folder(output)
    pool = _Pool()
    sources_seen: dict[tuple[Source, ...], tuple[Source, ...]] = {}
    with Spool(output) as spool, writing_whole(output / REJECTED) as reject:
        for part in PARTS:
            counts = pool.counts[part]
            for row in _rank1(rank1) if part == "rank1" else _synthetic(synthetic):
                counts["read"] += 1
                if isinstance(row, Rejection):
                    counts["unreadable"] += 1
                    reject(json_line(asdict(row)).encode())
                    continue
                if reason := problem(row):
                    counts["unusable"] += 1
                    unusable = Rejection("mix", row.id, reason, row.passage[:2000])
                    reject(json_line(asdict(unusable)).encode())
                    continue
                row = declared(row, commercial)
                # Many rows have the same sources: one tuple for all of them.
                kept = sources_seen.setdefault(row.sources, row.sources)
                pool.add(part, replace(row, sources=kept), _digest(row), spool)
        chosen = _chosen(pool, wanted)
        used = Counter(source for entry in chosen for source in dict.fromkeys(entry.sources))
        check_commercial(used, allow_non_commercial)
        report = _report(pool, chosen, wanted, used) | {
            "allow_non_commercial": allow_non_commercial,
            "declared_commercial": sorted(commercial),
            "files": {"rank1": [_name(path) for path in rank1], "synthetic": [_name(p) for p in synthetic]},
            "runs": [run for path in synthetic if (run := _run_report(path)) is not None],
        }
        write_parts(output / ROWS, (spool.line(entry.number).encode() for entry in chosen))
    write_json(output / MIX, report)
    return report


def _is_mix(folder: Path) -> bool:
    """Whether a mix was written into a folder: its report says so, and it is written last."""
    try:
        return read_json_object(folder / MIX).keys() >= {"blend", "parts", "strata"}
    except InputError:
        return False


def _rank1(paths: Iterable[str]) -> Iterator[LabelledPassage | Rejection]:
    for path in paths:
        yield from read_rank1(path)


def _synthetic(paths: Sequence[str]) -> Iterator[LabelledPassage | Rejection]:
    """Rows of all files; those of the second file on are renamed: two runs over the same seeds share ids."""
    for number, path in enumerate(paths, start=1):
        for row in read_sources(path):
            if number == 1:
                yield row
            else:
                yield replace(row, id=f"{row.id}~{number}", query_id=f"{row.query_id}~{number}")


def _chosen(pool: _Pool, wanted: Blend) -> list[_Entry]:
    """The rows of the mix in its order, which is drawn, too.

    Raises:
        InputError: strata with too few rows, all of them named.
    """
    strata: dict[PartName, dict[Stratum, list[_Entry]]] = {name: {} for name in PARTS}
    for digest, entry in pool.entries.items():
        if digest not in pool.contradictory:
            strata[entry.part].setdefault(entry.stratum, []).append(entry)
    chosen: list[_Entry] = []
    missing: list[str] = []
    for part in PARTS:
        groups = strata[part]
        for label, number in _by_label(part, groups, wanted).items():
            there = {stratum: len(group) for stratum, group in sorted(groups.items()) if stratum[0] == label}
            if number > sum(there.values()):
                missing.append(_lack(part, (label, "", ""), number, sum(there.values())))
                continue
            for stratum, quota in largest_remainder(number, _weights(part, label, there, wanted)).items():
                group = groups.get(stratum, [])
                if quota > len(group):
                    missing.append(_lack(part, stratum, quota, len(group)))
                # By a hash instead of a shuffle: what is drawn does not depend on the order of the rows.
                chosen += sorted(group, key=lambda entry: _lot(wanted.seed, "draw", entry.digest))[:quota]
    if missing:
        raise InputError(
            f"too few rows for the mix; wanted are {'; '.join(missing)}. Add files, ask for fewer rows, or "
            f"change the share of relevant rows{' or the strata' if wanted.strata != 'pool' else ''}"
        )
    return sorted(chosen, key=lambda entry: _lot(wanted.seed, "order", entry.digest))


def _by_label(part: PartName, groups: dict[Stratum, list[_Entry]], wanted: Blend) -> dict[bool, int]:
    total = wanted.rank1 if part == "rank1" else wanted.synthetic
    if wanted.relevant is not None:
        return largest_remainder(total, {True: wanted.relevant, False: 1 - wanted.relevant})
    there = {label: float(sum(len(g) for s, g in groups.items() if s[0] == label)) for label in (True, False)}
    # An empty pool has no ratio; what is missing is named all the same.
    return largest_remainder(total, there if any(there.values()) else dict.fromkeys(there, 1.0))


def _weights(part: PartName, label: bool, there: dict[Stratum, int], wanted: Blend) -> dict[Stratum, float]:
    if part == "rank1" or wanted.strata == "pool":
        return {stratum: float(number) for stratum, number in there.items()}
    known = load_guidelines()
    return {
        (label, kind, difficulty): known.kind[kind] * known.difficulty[difficulty]
        for kind in KINDS
        for difficulty in DIFFICULTIES
    }


def _lack(part: PartName, stratum: Stratum, quota: int, there: int) -> str:
    label, *rest = stratum
    sort = ", ".join(filter(None, rest))
    named = f"{_TITLES[part]} rows that are {'relevant' if label else 'irrelevant'}"
    return f"{quota} {named}{f' ({sort})' if sort else ''}, of which there are {there}"


def _report(pool: _Pool, chosen: Sequence[_Entry], wanted: Blend, used: Counter[Source]) -> dict[str, Any]:
    taken = Counter((entry.part, entry.stratum) for entry in chosen)
    dropped = Counter(pool.entries[digest].part for digest in pool.contradictory)
    names = ("read", "unreadable", "unusable", "duplicates", "duplicates_across")
    return {
        "rows": len(chosen),
        "relevant": sum(entry.stratum[0] for entry in chosen),
        "blend": asdict(wanted),
        "parts": {
            part: {name: pool.counts[part][name] for name in names}
            | {
                "contradictory": dropped[part],
                "taken": sum(number for (of, _), number in taken.items() if of == part),
            }
            for part in PARTS
        },
        "strata": [
            {"part": part, "relevant": label, "kind": kind, "difficulty": difficulty, "rows": number}
            for (part, (label, kind, difficulty)), number in sorted(taken.items())
        ],
        "licences": table(used),
        "non_commercial": sorted(source.name for source in used if source.commercial is False),
        "not_known": sorted(source.name for source in used if source.commercial is None),
    }


def _run_report(path: str) -> dict[str, Any] | None:
    file = Path(path) / REPORT if Path(path).is_dir() else Path(path).with_name(REPORT)
    if not file.is_file():
        return None
    report = read_json(file)
    return report if isinstance(report, dict) else None


def _name(path: str) -> str:
    return path if path.startswith("hub:") else Path(path).name


def _digest(row: LabelledPassage) -> bytes:
    """Equal for equal query and passage, white space aside."""
    texts = [" ".join(text.split()) for text in (row.query, row.passage)]
    return hashlib.sha256(json.dumps(texts).encode("ascii")).digest()[:16]


def _lot(seed: int, what: str, digest: bytes) -> bytes:
    return hashlib.sha256(f"{seed}:{what}:".encode("ascii") + digest).digest()
