"""`limrank bulk` keeps replies the moment they arrive, as `rerank` does: a kill loses what was under way."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from servers import LoopbackServer, toy
from small_jobs import BULK, RERANK, killed_at, limrank, work

from limrank_pipelines.bulk_command import _opener
from limrank_plugins.begun_anew import working_on
from limrank_plugins.store import Store

__all__ = ["work"]  # the fixture


def test_a_killed_process_has_lost_only_what_was_under_way(work: Path):
    pytest.importorskip("openai", reason="needs pip install 'limrank[openai]'")
    with LoopbackServer(toy) as server:
        whole = (*BULK, "--option", "concurrency=1")
        killed_at(work, server, 5, *whole)
        assert not list((work / "bulk").glob("part-*"))
        before, asked = [call.prompt for call in server.calls], server.served
        limrank(work, server, *whole)
        after = [call.prompt for call in server.calls[asked:]]
        assert len(set(before + after)) == 6, "every passage of both queries was asked about"
        assert set(before) & set(after) == {before[-1]}, "what had come is not asked for again"
        assert len(after) == 2


def test_replies_are_in_the_store_of_the_user_which_rerank_finds_or_in_the_one_named(work: Path):
    pytest.importorskip("openai", reason="needs pip install 'limrank[openai]'")
    with LoopbackServer(toy) as server:
        limrank(work, server, *BULK)
        limrank(work, server, *RERANK)
        assert server.served == 6, "the pairs of the run are among those of the jobs"
        limrank(work, server, *BULK[:-1], "other", "--store", "mine.sqlite")
        assert server.served == 12
        with Store(work / "mine.sqlite") as store:
            assert not store.is_empty()


@pytest.mark.parametrize("is_cluster", [False, True])
def test_what_is_begun_anew_finds_nothing_of_before(tmp_path: Path, is_cluster: bool):
    """On a cluster the stores are those of its machines: the folder is shared over a network."""
    mine, out = tmp_path / "mine.sqlite", tmp_path / "out"
    out.mkdir()
    (out / "part-00000.jsonl").touch()
    with Store(mine) as store:
        store.put_many([(b"k", b"old")])
    with working_on(out, {}, lambda folder: folder.glob("part-*"), fresh=True) as work:
        travelled = pickle.loads(pickle.dumps(_opener(work, mine, is_cluster=is_cluster)))
        with travelled() as store:
            assert store.get_many([b"k"]) == {}
            store.put_many([(b"k", b"new")])
            assert store.get_many([b"k"]) == {b"k": b"new"}
            assert store.path == (mine if is_cluster else work.place / store.path.name)
        work.end(is_finished=True)
    with Store(mine) as store:
        assert store.get_many([b"k"]) == {b"k": b"new"}
