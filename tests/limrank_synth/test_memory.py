"""100,000 rows are mixed, their duplicates dropped, and exported, in less memory than they take."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.soak

PROGRAM = """
import json, random, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from synthetic_rows import INTENT_NAMES, rank1_record, row
from dataclasses import replace
from limrank_synth.exporting import export
from limrank_synth.run_files import read_rows, write_rows
from limrank_synth.mix import Blend, mix

folder, rng = Path(sys.argv[1]), random.Random(0)
words = [f"word{n}" for n in range(5000)]

def peak():
    # Not ru_maxrss: it begins with what the parent process held when it started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024

def text(number):
    return " ".join(rng.choices(words, k=number))

with (folder / "rank1.jsonl").open("w") as stream:
    for n in range(70_000):
        record = rank1_record(n, n % 2 == 0)
        record["input"] = f"Query: what is {n}\\nPassage: {n} {text(60)}\\n"
        record["output"] = f"<think>\\n{text(250)}\\n</think> {'false' if n % 2 else 'true'}"
        line = json.dumps(record) + "\\n"
        stream.write(line * (2 if n % 7 == 0 else 1))
made = (
    replace(one, passage=f"{one.id} {text(150)}", trace=text(350), meta={**one.meta, "thought": text(400)})
    for one in (row(n, intent) for n in range(7_500) for intent in INTENT_NAMES)
)
write_rows(folder / "rows.jsonl", made)
report = mix([str(folder / "rank1.jsonl")], [str(folder / "rows.jsonl")], folder / "mix",
             Blend(70_000, 30_000), allow_non_commercial=True)
assert report["parts"]["rank1"]["duplicates"] == 10_000, report["parts"]
results = {}
for layout in ("trl", "listwise"):
    results[layout] = export(read_rows(folder / "mix/rows.jsonl"), layout, folder / layout)["records"]
print(json.dumps({
    "rows": report["rows"], "results": results,
    "bytes": sum(f.stat().st_size for f in folder.glob("*.jsonl")),
    "peak": peak(),
}))
"""


def test_a_hundred_thousand_rows_take_less_than_two_gigabytes(tmp_path: Path) -> None:
    tests = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), str(tests)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["rows"] == 100_000
    assert told["results"]["trl"] == {"train.jsonl": 100_000}
    assert told["results"]["listwise"] == {"train.jsonl": 7_500}
    assert told["peak"] < 2 * 1024**3
    # Of the texts themselves, no more than a part is ever held.
    assert told["peak"] < told["bytes"]
