"""Recipes of recipes as a `Reranker` runs them: who is asked, on which backend, within which budget."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from scripts import full_backend, passage_of, reranker, unit

from limrank_plugins import Document, Reranker, ScriptedBackend, ScriptedFailure, Store, load_recipe
from limrank_plugins.backends.none import NoBackend
from limrank_plugins.calibration import Calibration, Platt
from limrank_plugins.errors import CapabilityError, InputError, MissingExtra, RankingFailed
from limrank_plugins.prompts import instructions, load_template, parse_template

TEXTS = [f"passage number {i}" for i in range(14)]


def thoughts(backend: ScriptedBackend) -> list[str]:
    """The passages that were thought about."""
    return [passage_of(request.prompt) for request in backend.requests if request.method == "generate"]


# ---- reasoning="auto" ---------------------------------------------------------------------------


def test_auto_thinks_about_the_top_and_no_other():
    backend, texts = full_backend(), [f"passage number {i}" for i in range(30)]
    ranking = Reranker("limrank", backend=backend, reasoning="auto").rank("q", texts)
    assert 10 <= len(thoughts(backend)) < len(texts)
    assert len(thoughts(backend)) == len(set(thoughts(backend)))
    explained = [hit.explanation is not None for hit in ranking]
    assert all(explained[:10]), "the first ten were all thought about"
    assert sum(explained) == len(thoughts(backend))


def test_auto_is_the_full_ranking_where_everything_contends():
    for texts in (TEXTS[:10], TEXTS[:3]):
        auto = reranker("limrank", reasoning="auto").rank("q", texts)
        full = reranker("limrank", reasoning="full").rank("q", texts)
        assert [hit.score for hit in auto] == [hit.score for hit in full]
        assert auto.score_kind == full.score_kind == "probability"
        assert auto.comparable


def test_the_unreasoned_probability_breaks_its_ties():
    backend = ScriptedBackend(
        # Instead of a thought, the prompt ends with its end; behind a thought all are as likely.
        read_labels=lambda p: (unit(passage_of(p)) if p.text.endswith("</think>") else 9.0, 0.0),
        generate=lambda p: "a thought</think>",
    )
    ranking = Reranker("limrank", backend=backend, reasoning="auto").rank("q", TEXTS[:8])
    assert len({hit.score for hit in ranking}) == 1
    assert ranking.ids == [str(i) for i in sorted(range(8), key=lambda i: -unit(TEXTS[i]))]


def test_a_budget_of_documents_is_kept_exactly():
    for number in (1, 3, 9):
        backend = full_backend()
        Reranker("limrank", backend=backend, reasoning="auto", budget=f"{number} documents").rank("q", TEXTS)
        assert len(thoughts(backend)) == number


def test_a_budget_of_tokens_ends_it_after_the_wave_that_passes_it():
    backend = full_backend()
    made = Reranker("limrank", backend=backend, reasoning="auto", budget="1 token")
    ranking = made.rank("q", TEXTS)
    assert len(thoughts(backend)) == 5
    assert sum(hit.explanation is not None for hit in ranking) == 5


def test_what_the_store_knows_costs_nothing(tmp_path: Path):
    with Store(tmp_path / "s.sqlite") as store:
        options: dict[str, Any] = {"reasoning": "auto", "budget": "1 token", "store": store}
        first = Reranker("limrank", backend=full_backend(), **options)
        second = Reranker("limrank", backend=full_backend(), **options)
        first.rank("q", TEXTS)
        ranking = second.rank("q", TEXTS)
        assert len(thoughts(second.backend)) > 0, "the first five are free, so there is a wave more"
        assert ranking.usage.cached > 5


def test_auto_needs_a_recipe_that_scores_one_by_one():
    for recipe in ("mini", "setwise"):
        with pytest.raises(InputError, match="no reasoning"):
            reranker(recipe, reasoning="auto")
    for recipe in ("rank-r1", "cascade"):
        with pytest.raises(InputError, match="each document on its own"):
            reranker(recipe, reasoning="auto")
    with pytest.raises(InputError, match="reasoning='auto'"):
        reranker("limrank", budget="5 documents")
    assert reranker("vote:of=limrank", reasoning="auto").rank("q", TEXTS[:4]).comparable


# ---- cascade ------------------------------------------------------------------------------------


def asked(made: Reranker) -> int:
    return len({passage_of(r.prompt) for r in made.backend.requests if r.method == "read_labels"})


def test_a_budget_keeps_the_cascades_top():
    for recipe, budget, number in (
        ("cascade:top=4", None, 4),
        ("cascade:top=4", "1 token", 4),
        ("cascade:top=12", "1 token", 8),
        ("cascade:top=4", "6 documents", 6),
        ("cascade:top=12,tokens=1", None, 8),
        ("cascade:top=12,tokens=1", "9 documents", 9),
    ):
        made = Reranker(recipe, backend=full_backend(), reasoning="none", budget=budget)
        made.rank("q", TEXTS)
        assert asked(made) == number, (recipe, budget)


def test_a_budget_that_cannot_be_kept_is_refused():
    for options in ({"budget": "50 tokens"}, {"budget": "5 documents, 1 second"}):
        with pytest.raises(InputError, match="'rankgpt' judges documents together"):
            reranker("cascade:then=rankgpt", **options)
    with pytest.raises(InputError, match="'rankgpt' judges documents together"):
        load_recipe("cascade:then=rankgpt,seconds=2")


def test_a_document_that_fails_in_either_part_keeps_its_place_and_its_reason():
    def read(prompt: Any) -> tuple[float, float]:
        if passage_of(prompt) == TEXTS[2]:
            raise ScriptedFailure("no verdict")
        return 6 * unit(passage_of(prompt)), 0.0

    def encode(text: str, role: str) -> list[float]:
        if text == TEXTS[5]:
            raise ScriptedFailure("no vector")
        return [unit(f"{axis}{text}") for axis in range(4)]

    made = Reranker(
        "cascade", backend=full_backend(read_labels=read, encode=encode), reasoning="none", on_failure="mark"
    )
    ranking = made.rank("q", TEXTS)
    assert ranking.failures == (("2", "no verdict"), ("5", "no vector"))
    assert (ranking[2].id, ranking[5].id) == ("2", "5")
    backend = made.backend
    strict = Reranker("cascade", backend=backend, reasoning="none", on_failure="raise")
    with pytest.raises(RankingFailed, match="'2' could not be judged: no verdict"):
        strict.rank("q", TEXTS)


# ---- options and names --------------------------------------------------------------------------


def test_options_nest_in_parentheses():
    made = load_recipe("fuse:parts=vote(of=rankgpt(window=4,stride=2),times=2)+mini,weights=1+2")
    assert [part.recipe for part in made.parts] == ["vote:of=rankgpt(window=4,stride=2),times=2", "mini"]
    inner = load_recipe(str(made.parts[0].recipe))
    assert [part.recipe for part in inner.parts] == ["rankgpt:window=4,stride=2"]
    assert load_recipe(str(inner.parts[0].recipe)).schedule.window == 4
    assert load_recipe(made.name) == made


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("cascade:first=mini+prior", "first is one recipe"),
        ("cascade:then=mini+limrank", "then is one recipe"),
        ("vote:of=mini+limrank", "of is one recipe"),
        ("symmetrise:of=3", "3"),
        ("fuse:parts=7", "7"),
        ("cascade:first=7", "7"),
        ("cascade:seconds=soon", "seconds"),
        ("cascade:tokens=many", "tokens"),
        ("cascade:top=0", "top"),
        ("fuse:parts=mini", "at least two"),
        ("fuse:weights=a+b", "weights"),
        ("fuse:k=x", "k must"),
        ("fuse:method=sum", "method"),
        ("vote:times=1", "times"),
        ("vote:of=rankgpt(window=4", "no recipe 'rankgpt"),
        ("vote:of=rankgpt(windows=4)", "no option windows"),
        ("vote:of=nothing", "no recipe 'nothing'"),
    ],
)
def test_options_that_cannot_be_meant_are_named(recipe: str, message: str):
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        load_recipe(recipe)


# ---- identity -----------------------------------------------------------------------------------


def made_of(recipe: str, **options: Any) -> Reranker:
    return Reranker(recipe, backend=full_backend(), **options)


def mini(identity: str = "m") -> Reranker:
    return Reranker("mini", backend=full_backend(identity=identity))


WAYS: list[Any] = [
    lambda: made_of("limrank"),
    lambda: made_of("limrank", reasoning="none"),
    lambda: made_of("limrank", reasoning="auto"),
    lambda: made_of("limrank", reasoning="auto", budget="5 documents"),
    lambda: made_of("limrank", reasoning="auto", budget="6 documents"),
    lambda: made_of("limrank", reasoning="auto", budget="5 tokens"),
    lambda: made_of("limrank", reasoning="auto", budget="5 seconds"),
    lambda: made_of("limrank", reasoning="auto", max_reasoning_tokens=7),
    lambda: made_of("limrank", reasoning="auto", seed=1),
    lambda: made_of("cascade"),
    lambda: made_of("cascade", budget="5 documents"),
    lambda: made_of("cascade", budget="5 tokens"),
    lambda: made_of("cascade:top=5"),
    lambda: made_of("cascade:first=prior"),
    lambda: made_of("cascade:then=rankgpt"),
    lambda: made_of("cascade:then=rankgpt(window=4,stride=2)"),
    lambda: made_of("vote:of=mini"),
    lambda: made_of("vote:of=mini,times=2"),
    lambda: made_of("vote:of=mini,seed=2"),
    lambda: made_of("symmetrise:of=mini"),
    lambda: made_of("fuse:parts=prior+mini,k=1"),
    lambda: made_of("fuse:parts=mini+prior,k=1"),
    lambda: made_of("fuse:parts=prior+mini,weights=1+2"),
    lambda: Reranker.combined("fuse", mini("a"), mini("b")),
    lambda: Reranker.combined("fuse", mini("b"), mini("a")),
    lambda: Reranker.combined("fuse", mini("a"), mini("a")),
    lambda: Reranker.combined("fuse", mini("a"), mini("a"), mini("a")),
    lambda: Reranker.combined("fuse", mini("a"), Reranker.combined("fuse", mini("a"), mini("a"))),
    lambda: Reranker.combined("cascade", mini("a"), mini("b")),
    lambda: Reranker.combined("cascade:top=3", mini("a"), mini("b")),
]


def test_two_rerankers_share_an_identity_only_if_they_are_alike():
    identities = [way().identity for way in WAYS]
    repeated = [name for name, count in Counter(identities).items() if count > 1]
    assert repeated == []
    assert identities == [way().identity for way in WAYS], "the same one made twice does"
    assert not any(" at 0x" in identity for identity in identities), "none is of this process alone"


# ---- two backends -------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", ["cascade", "fuse", "fuse:method=minmax"])
@pytest.mark.parametrize("which", [(False, True), (True, False), (True, True)])
def test_sync_and_async_agree_where_one_of_two_backends_is_async(recipe: str, which: tuple[bool, bool]):
    def made() -> Reranker:
        cheap = Reranker("mini", backend=full_backend(asynchronous=which[0]))
        dear = Reranker("limrank", backend=full_backend(asynchronous=which[1], identity="other"))
        return Reranker.combined(recipe, cheap, dear)

    jobs = [(f"query {i}", TEXTS[: 4 + i]) for i in range(3)]
    plain = made().rank_many(jobs)
    awaited = asyncio.run(made().arank_many(jobs))
    alone = Reranker(recipe.replace("fuse", "fuse:parts=mini+limrank").replace("limrank:", "limrank,"),
                     backend=full_backend()).rank_many(jobs)  # fmt: skip
    assert [r.hits for r in plain] == [r.hits for r in awaited] == [r.hits for r in alone]
    assert [r.usage.calls for r in plain] == [r.usage.calls for r in awaited]


def test_each_part_is_asked_on_its_own_backend():
    cheap, dear = full_backend(), full_backend(identity="other")
    made = Reranker.combined("fuse", Reranker("mini", backend=cheap), Reranker("limrank", backend=dear))
    made.rank("q", TEXTS)
    assert {request.method for request in cheap.requests} == {"encode"}
    assert {request.method for request in dear.requests} == {"generate", "read_labels"}


def test_one_part_finds_in_the_store_what_another_was_told(tmp_path: Path):
    with Store(tmp_path / "s.sqlite") as store:
        first, second = full_backend(identity="same"), full_backend(identity="same")
        reranker = Reranker.combined(
            "cascade:top=14",
            Reranker("limrank", backend=first, reasoning="none"),
            Reranker("limrank", backend=second, reasoning="none"),
            store=store,
        )
        ranking = reranker.rank("q", TEXTS)
        assert (len(first.requests), second.requests) == (14, [])
        assert (ranking.usage.calls, ranking.usage.cached) == (14, 14)
        other = full_backend(identity="another")
        Reranker.combined("vote", Reranker("limrank", backend=other, reasoning="none"), store=store).rank(
            "q", TEXTS
        )
        assert len(other.requests) == 14, "another model is asked itself"


def test_a_backend_that_is_handed_over_serves_the_parts_it_can():
    labels = ScriptedBackend(read_labels=lambda p: (unit(p.text), 0.0))
    made = Reranker("fuse:parts=prior+limrank", backend=labels, reasoning="none")
    assert made.parts[1].backend is labels
    encoder = full_backend(read_labels=None, generate=None)
    nested = Reranker("fuse:parts=vote(of=prior)+mini", backend=encoder)
    assert nested.parts[1].backend is encoder
    with pytest.raises(CapabilityError, match="'limrank', a part of recipe 'cascade'"):
        Reranker("cascade", backend=encoder)
    # `mini` cannot be asked on it, whether it stands alone or in a vote: it gets its own backend.
    for cheap in ("mini", "vote(of=mini)"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("limrank_plugins.arguments.backend_class", lambda name: Named)
            made = Reranker(f"cascade:first={cheap}", backend=labels, reasoning="none")
        assert isinstance(made.parts[0].backend, Named)
        assert made.parts[1].backend is labels


# ---- making and closing -------------------------------------------------------------------------


class Named:
    """A backend that counts how often it is closed, for whatever name is asked for."""

    name = "named"
    open = 0
    closed: Counter[str] = Counter()

    def __init__(self, model: str, **options: Any) -> None:
        if model == "missing" or "boom" in options:
            raise InputError(f"there is no model {model!r}")
        self.model = self.identity = model
        self.closings = 0
        Named.closed[model] += 0

    def encode(self, requests: Any) -> Any:
        raise AssertionError("not asked")

    read_labels = generate = encode

    def close(self) -> None:
        self.closings += 1
        Named.closed[self.model] += 1


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    Named.closed = Counter()
    monkeypatch.setattr("limrank_plugins.arguments.backend_class", lambda name: Named)


@pytest.mark.usefixtures("named")
def test_closing_closes_each_backend_that_was_loaded_once():
    made = Reranker("cascade", model="mine")
    backends = [part.backend for part in made.parts]
    assert len({id(backend) for backend in backends}) == 2
    made.close()
    assert [backend.closings for backend in backends] == [1, 1]

    auto = Reranker("limrank", model="mine", reasoning="auto")
    assert auto.parts[0].backend is auto.parts[1].backend, "one model, loaded once"
    auto.close()
    assert auto.backend.closings == 1

    lent = Named("lent")
    Reranker("cascade", backend=lent).close()
    parts = Reranker("mini", model="a"), Reranker("mini", model="b")
    Reranker.combined("fuse", *parts).close()
    assert (lent.closings, parts[0].backend.closings) == (0, 0), "what was handed over stays open"


@pytest.mark.usefixtures("named")
def test_a_part_that_cannot_be_made_is_named_and_the_others_are_closed():
    with pytest.raises(
        InputError, match="'limrank', a part of recipe 'cascade': there is no model 'missing'"
    ):
        Reranker("cascade", model="missing")
    with pytest.raises(InputError, match=r"^there is no model"):
        Reranker("limrank", model="missing", reasoning="auto")

    def without_mini(name: str) -> Any:
        if name == load_recipe("mini").backend:
            raise MissingExtra("embedded needs an extra")
        return Named

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("limrank_plugins.arguments.backend_class", without_mini)
        with pytest.raises(MissingExtra, match="'mini', a part of recipe 'cascade'"):
            Reranker("cascade", model="mine")
        assert Named.closed["mine"] == 1


# ---- combined -----------------------------------------------------------------------------------


def test_a_combined_vote_says_what_its_parts_scores_are():
    limrank = reranker("limrank", reasoning="none")
    ranking = Reranker.combined("vote", limrank).rank("q", TEXTS, threshold=0.1)
    assert (ranking.score_kind, ranking.comparable) == ("probability", True)
    ranking = Reranker.combined("vote", reranker("mini")).rank("q", TEXTS)
    assert (ranking.score_kind, ranking.comparable) == ("similarity", False)
    ranking = Reranker.combined("vote:of=limrank", reranker("rankgpt")).rank("q", TEXTS)
    assert (ranking.score_kind, ranking.comparable, ranking[0].score) == ("rank", False, None)
    with pytest.raises(InputError, match="threshold"):
        Reranker.combined("vote:of=limrank", reranker("mini")).rank("q", TEXTS, threshold=0.1)


@pytest.mark.parametrize("recipe", ["vote", "cascade", "fuse"])
def test_a_part_s_calibration_is_refused_rather_than_dropped(recipe: str):
    calibration = Calibration(Platt(2.0, -1.0), "limrank", "probability")
    fitted = reranker("limrank", reasoning="none", calibration=calibration)
    others = [] if recipe == "vote" else [reranker("mini")]
    with pytest.raises(InputError, match=f"part 'limrank' has a calibration, which recipe '{recipe}' does"):
        Reranker.combined(recipe, *others, fitted)


def test_a_calibration_of_the_whole_is_applied():
    calibration = Calibration(Platt(2.0, -1.0), "vote:of=limrank", "probability")
    plain = reranker("vote:of=limrank", reasoning="none").rank("q", TEXTS)
    fitted = reranker("vote:of=limrank", reasoning="none", calibration=calibration)
    scores = [hit.score for hit in fitted.rank("q", TEXTS)]
    assert scores == [calibration(hit.score) for hit in plain if hit.score is not None]
    assert [hit.score for hit in fitted.rank("q", TEXTS, threshold=scores[3])] == scores[:4]


def test_only_a_recipe_of_others_is_combined_and_of_as_many_as_it_takes():
    one = reranker("mini")
    with pytest.raises(InputError, match="'limrank' is not made of others"):
        Reranker.combined("limrank", one)
    for recipe in ("vote", "cascade", "fuse"):
        with pytest.raises(InputError):
            Reranker.combined(recipe)
    with pytest.raises(InputError, match="gives no scores"):
        Reranker.combined("fuse:method=minmax", one, reranker("rankgpt"))
    with pytest.raises(InputError, match="on_failure"):
        Reranker.combined("vote", one, on_failure="ignore")


def test_the_parts_own_settings_are_used():
    dear = Reranker("limrank", backend=full_backend(), reasoning="none", instruction="bright")
    made = Reranker.combined("cascade", reranker("mini"), dear)
    made.rank("q", TEXTS[:3])
    assert thoughts(dear.backend) == []
    assert all(instructions()["bright"].split()[0] in r.prompt.shared_text for r in dear.backend.requests)


# ---- templates ----------------------------------------------------------------------------------


def test_another_wording_reaches_the_parts_that_use_this_one():
    wording = parse_template("mine", 'prompt = "Q {{ query }} D {{ document }} V"\nlabels = [" yes", " no"]')
    for recipe, options in (("limrank", {"reasoning": "auto"}), ("cascade", {}), ("vote:of=limrank", {})):
        backend = full_backend()
        made = Reranker(recipe, backend=backend, **options)
        other = made.with_template(wording)
        other.rank("q", TEXTS[:3])
        asked = [r.prompt.text for r in backend.requests if r.method != "encode"]
        assert asked
        assert all(text.startswith("Q q D passage") for text in asked)
        assert made.template == load_template("limrank"), "the one it was made of stays as it was"
        assert made.identity != other.identity
        backend.requests.clear()
        made.rank("q", TEXTS[:3])
        assert not any(r.prompt.text.startswith("Q q D") for r in backend.requests if r.method != "encode")


# ---- prior --------------------------------------------------------------------------------------


def test_the_first_stage_is_a_recipe_that_asks_nothing():
    made = Reranker("prior")
    assert isinstance(made.backend, NoBackend)
    documents = [Document("a", prior=1.0), Document("b", prior=3.0), Document("c"), Document("d", prior=-2.0)]
    ranking = made.rank("q", documents)
    assert ranking.ids == ["1", "0", "2", "3"]
    assert ranking.score_kind == "prior"
    assert made.rank("q", ["a", "b", "c"]).ids == ["0", "1", "2"], "no priors: as it came"


def test_priors_are_fused_with_scores():
    documents = [Document(text, prior=float(-i)) for i, text in enumerate(TEXTS)]
    heavy = made_of("fuse:parts=prior+limrank,weights=1+0,method=minmax", reasoning="none")
    assert heavy.rank("q", documents).ids == [str(i) for i in range(14)]
    light = made_of("fuse:parts=prior+limrank,weights=0+1,method=minmax", reasoning="none")
    assert light.rank("q", documents).ids == reranker(reasoning="none").rank("q", documents).ids
