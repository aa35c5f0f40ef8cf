"""What `limrank synth run` refuses: two processes in a folder, settings and arguments that make no sense."""

from __future__ import annotations

from pathlib import Path

import pytest
from synth_command import Workplace, limrank, run

from limrank_plugins.locks import alone_in

pytestmark = pytest.mark.usefixtures("_key")


def test_two_processes_in_one_folder(place: Workplace, tmp_path: Path):
    place.output.mkdir()
    (tmp_path / "results.jsonl").write_text("", "utf-8")
    with alone_in(place.output):
        refused = place.run()
        batch = limrank(
            *("synth", "batch-in", tmp_path / "results.jsonl", "-o", place.output, "--model", "writer=m"),
            code=2,
        )
    assert refused.returncode == 2
    assert "another process is working in" in refused.stderr
    assert "another process is working in" in batch.output
    assert place.server.served == 0
    run(place)


def test_other_seeds_into_a_finished_folder(place: Workplace):
    run(place)
    before = (place.output / "rows.jsonl").read_bytes()
    seeds = place.folder / "seeds.tsv"
    known = seeds.read_text("utf-8")
    seeds.write_text("x1\tsomething else entirely\n", "utf-8")
    refused = place.run()
    assert refused.returncode == 2
    told = " ".join(refused.stderr.split())
    assert "holds the rows of another run" in told
    assert "seeds are not among these 1, e.g. 'what becomes of thing number 0'" in told
    assert "--fresh" in told
    seeds.write_text(known, "utf-8")
    other = place.run("--seed", "99")
    assert other.returncode == 2
    assert "seed is 0 there, 99 here" in " ".join(other.stderr.split())
    assert (place.output / "rows.jsonl").read_bytes() == before
    seeds.write_text(known + "x1\tsomething else entirely\n", "utf-8")
    more = place.run()
    assert more.returncode == 0, more.stderr


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("nonsense", "is not TOML"),
        ("votess = 1", "there is no field 'votess'"),
        ("votes = 2", "votes must be odd"),
        ("votes = true", "votes: Input should be a valid integer, but got True"),
        ("kinds = []", "kinds must be some of"),
        ('kinds = ["expert", "expert"]', "each once"),
        ("kinds = 3", "kinds: Input should be a valid"),
        ("timeout = 0", "timeout must be a number > 0, but got 0"),
        ('timeout = "1"', "timeout: Input should be a valid number, but got '1'"),
        ("max_cost = -1", "max_cost must be a number > 0, but got -1"),
        ("seed = 1.5", "seed: Input should be a valid integer, but got"),
        ("direct = 0\nindirect = 0\nnegative = 0", "no passage would be written"),
        ("negative = 6", "negative must be a whole number >= 0 and <= 5, but got 6"),
        ('guidelines = "nowhere.toml"', "the guidelines cannot be read"),
        ("filters = 3", "filters: Input should be"),
        ("[filters.hardnes]\ndepth = 3", "no filter 'hardnes'"),
        ("[filters.hardness]\ndepth = 0", "depth must be a whole number"),
        ("[roles.painter]\nmodel = 'm'", "no role 'painter'"),
        ("[roles.judge]\nprice_in = 1", "the field 'roles.judge.model' is missing"),
        ("[roles.judge]\nmodel = 'm'\napi_key = 'sk-secret'", "there is no field 'roles.judge.api_key'"),
        ("[roles.judge]\nmodel = 'm'\napi_key_env = 'sk-secret'", "never the key itself"),
        ("[roles.judge]\nmodel = 'm'\nbase_url = 'http://me:sk-secret@host/v1'", "without login"),
        ("[roles.judge]\nmodel = 'm'\nbase_url = 'http://host/v1?key=sk-secret'", "without login"),
        ("[roles.judge]\nmodel = 'm'\nbase_url = 'ftp://host'", "http(s) address"),
        ("[roles.judge]\nmodel = 'm'\ntop_p = 'x'", "roles.judge.top_p: Input should be a valid number"),
        ("[roles.judge]\nmodel = 'm'\nprice_in = nan", "price_in of model"),
        ("[roles.judge]\nmodel = 'm'\nmax_tokens = 0", "max_tokens of model"),
        ("[roles.judge]\nmodel = ''", "needs the name of a model"),
    ],
)
def test_settings_that_make_no_sense(tmp_path: Path, settings: str, message: str):
    (tmp_path / "seeds.tsv").write_text("1\twhat\n", "utf-8")
    (tmp_path / "bad.toml").write_text(f"{settings}\n[roles.writer]\nmodel = 'm'\n", "utf-8")
    said = limrank(
        *("synth", "run", "--seeds", tmp_path / "seeds.tsv", "-o", tmp_path / "run"),
        *("--config", tmp_path / "bad.toml"),
        code=2,
    ).output
    assert message in said
    assert "sk-secret" not in said
    assert not (tmp_path / "run").exists()


def test_what_the_command_line_says_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "seeds.tsv").write_text("1\twhat\n", "utf-8")
    common = ("synth", "run", "--seeds", tmp_path / "seeds.tsv", "-o", tmp_path / "run")
    assert "name the models" in limrank(*common, code=2).output
    assert "but got 'writer'" in limrank(*common, "--model", "writer", code=2).output
    hidden = limrank(*common, "--model", "painter=m@http://me:sk-secret@host", code=2).output
    assert "painter=m" in hidden
    assert "sk-secret" not in hidden
    assert "'writer' is missing" in limrank(*common, "--model", "judge=m", code=2).output
    model = ("--model", "writer=m")
    assert "5 seeds are wanted" in limrank(*common, *model, "--limit", 5, code=2).output
    assert "there is no file" in limrank(*common, *model, "--personas", tmp_path / "none.txt", code=2).output
    assert (
        "there is no file" in limrank(*common, *model, "--evaluation", tmp_path / "none.tsv", code=2).output
    )
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert "no API key for role" in limrank(*common, *model, code=2).output
    (tmp_path / "seeds.tsv").write_text("1\twhat\n1\twho\n", "utf-8")
    assert "was there before" in limrank(*common, *model, code=2).output


def test_models_on_the_command_line_keep_the_files_prices(place: Workplace):
    address = place.server.url
    run(place, "--model", f"writer=b-writer@{address}", "--limit", 1)
    roles = place.report["settings"]["roles"]
    assert (roles["writer"]["model"], roles["writer"]["price_out"]) == ("b-writer", 3.0)
    assert roles["judge"]["model"] == "a-judge"
    assert "b-writer" in place.model.keys
