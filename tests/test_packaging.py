"""What the wheel installs: the five packages and the two namespace trees, and nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from needs import needs_mini

import limrank_plugins

ROOT = Path(__file__).parent.parent
PACKAGES = {"limrank_plugins", "limrank_pipelines", "limrank_synth", "limrank_training", "limrank_evals"}
ALIASES = [
    (
        "llama-index-postprocessor-limrank", "llama-index",
        "llama_index.postprocessor.limrank", "LimRankRerank",
    ),
    (
        "limrank-haystack", "haystack",
        "haystack_integrations.components.rankers.limrank", "LimRankRanker",
    ),
]  # fmt: skip
NAMESPACES = {"llama_index", "haystack_integrations"}


def test_the_wheel_installs_five_packages_and_two_namespace_trees(tmp_path: Path):
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, text=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == PACKAGES | NAMESPACES
    assert not any("namespaces" in name for name in names), "the source folder itself is not shipped"
    for shared in (
        "llama_index/__init__.py",
        "llama_index/postprocessor/__init__.py",
        "llama_index/retrievers/__init__.py",
    ):
        assert shared not in names
    for shared in ("haystack_integrations/__init__.py", "haystack_integrations/components/__init__.py"):
        assert shared not in names
    for package in PACKAGES:
        assert f"{package}/py.typed" in names
    assert "limrank_plugins/prompts/limrank.toml" in names
    assert "limrank_plugins/samples/corpus.jsonl" in names
    for split in ("train", "dev", "test"):
        assert f"limrank_synth/limrank_open/{split}.jsonl" in names
    assert not any("tests/" in name or name.endswith((".sqlite", ".pyc", ".ipynb")) for name in names)
    for template in (ROOT / "pipelines" / "limrank_pipelines" / "prompts").glob("*.toml"):
        assert f"limrank_pipelines/prompts/{template.name}" in names
    assert "limrank_pipelines/prompts/hyde.toml" in names
    for plan in (ROOT / "training" / "plans").glob("*.yaml"):
        assert f"limrank_training/plans/{plan.name}" in names
    assert "limrank_training/plans/limrank-7b-paper.yaml" in names
    assert "limrank_training/accelerate/ddp-2x80gb.yaml" in names
    for file in ("index.html", "review.css", "review.js"):
        assert f"limrank_synth/review/page/{file}" in names
    for page in (ROOT / "evals" / "limrank_evals" / "reporting" / "page").iterdir():
        assert f"limrank_evals/reporting/page/{page.name}" in names
    assert "limrank_evals/reporting/page/evaluation.html.jinja" in names
    assert "limrank_plugins/pages/parts/frame.html.jinja" in names
    for file in (ROOT / "limrank_plugins" / "server" / "page").iterdir():
        assert f"limrank_plugins/server/page/{file.name}" in names
    assert any(name.startswith("llama_index/postprocessor/limrank/") for name in names)
    assert any(name.startswith("haystack_integrations/components/rankers/limrank/") for name in names)


def test_the_source_distribution_builds_the_same_and_holds_nothing_large(tmp_path: Path):
    code = f"from hatchling.build import build_sdist; print(build_sdist({str(tmp_path)!r}))"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=ROOT)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as held:
        files = {member.name.partition("/")[2]: member.size for member in held.getmembers()}
    tops = {name.partition("/")[0] for name in files}
    folders = {"limrank_plugins", "pipelines", "synth", "training", "evals", "tests", "docs", "packaging"}
    pages = {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "constraints.txt"}
    assert tops == folders | pages | {"pyproject.toml", "PKG-INFO", ".gitignore"}
    large = {name for name, size in files.items() if size > 500_000}
    assert large == {f"synth/limrank_synth/limrank_open/{split}.jsonl" for split in ("train", "test")}
    assert not any(name.endswith((".sqlite", ".safetensors", ".pyc", ".gguf")) for name in files)


@pytest.mark.parametrize(("alias", "extra", "module", "name"), ALIASES)
def test_an_alias_is_one_requirement_and_no_files(
    alias: str, extra: str, module: str, name: str, tmp_path: Path
):
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    folder = ROOT / "packaging" / alias
    described = tomllib.loads((folder / "pyproject.toml").read_text())
    assert described["project"]["version"] == ours["version"] == limrank_plugins.__version__
    assert extra in ours["optional-dependencies"]
    code = f"from hatchling.build import build_wheel; print(build_wheel({str(tmp_path)!r}))"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=folder)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as held:
        assert all(".dist-info/" in file for file in held.namelist()), "its modules are limrank's"
        (metadata,) = (held.read(file).decode() for file in held.namelist() if file.endswith("METADATA"))
    (needed,) = re.findall(r"^Requires-Dist: (.+)$", metadata, re.MULTILINE)
    major, minor, _ = ours["version"].split(".")
    assert needed == f"limrank[{extra}]<{major}.{int(minor) + 1},>={major}.{minor}"
    hub = described["tool"].get("llamahub")
    if hub is not None:
        assert (hub["import_path"], list(hub["class_authors"])) == (module, [name])
    pages = [page.read_text("utf-8") for page in folder.glob("*.md")]
    assert all(f"from {module} import {name}" in page for page in pages)


@pytest.mark.docs
@needs_mini
@pytest.mark.parametrize("page", sorted((ROOT / "packaging").rglob("*.md")), ids=lambda path: path.stem)
def test_the_examples_of_the_aliases_pages_are_right(page: Path, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("haystack" if "haystack" in str(page.relative_to(ROOT)) else "llama_index.core")
    names: dict[str, object] = {}
    for code in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        exec(compile(code, str(page), "exec"), names)
    (first,) = capsys.readouterr().out.splitlines()
    assert first.startswith("Acid ")


def test_haystacks_list_is_told_what_it_wants_to_know():
    text = (ROOT / "packaging" / "limrank-haystack" / "integration-page.md").read_text("utf-8")
    _, front, body = text.split("---\n", 2)
    told = yaml.safe_load(front)
    assert {"layout", "name", "description", "authors", "type"} <= set(told)
    assert {"pypi", "repo"} & set(told)
    assert told["layout"] == "integration"
    assert "pip install limrank-haystack" in body


def test_an_editable_install_copies_nothing(tmp_path: Path):
    """Copies would hide the source: it finds the namespace trees through its path file instead."""
    code = f"from hatchling.build import build_editable; print(build_editable({str(tmp_path)!r}))"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    names = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]
    assert names == ["_limrank.pth"]
    assert str(ROOT / "limrank_plugins" / "namespaces") in zipfile.ZipFile(wheel).read(names[0]).decode()


def test_all_is_every_extra_but_those_that_compile_or_want_other_libraries():
    """vllm breaks a CPU torch; two compile llama.cpp; two want an old transformers; docs is for our site."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    named = set(everything.removeprefix("limrank[").removesuffix("]").split(","))
    assert named == set(extras) - {"all", "vllm", "llama-cpp", "smollm", "onnx", "openvino", "docs"}


def test_the_base_install_is_light():
    needs = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {need.split(">")[0].split("=")[0].lower() for need in needs}
    assert names == {"numpy", "bm25s", "pystemmer", "jinja2", "typer", "rich"}


def test_nothing_imports_the_namespace_folders_by_their_path():
    for file in ROOT.rglob("*.py"):
        parts = file.relative_to(ROOT).parts
        if parts[0].startswith(".") or parts[0] in ("build", "dist") or file == Path(__file__):
            continue
        assert "limrank_plugins.namespaces" not in file.read_text(encoding="utf-8"), file
