"""Running evidence again: what holds, what differs, and what is refused."""

import hashlib

import msgspec
import numpy as np
import pytest
import torch

from darklantern.errors import DarkLanternError, RecipeError, SnapshotError
from darklantern.organisms import bytelm
from darklantern.organisms.bytelm import ByteLM
from darklantern.organisms.shape import Shape
from darklantern.records import Evidence, Figure, Provenance, Recipe
from darklantern.replication import TABLE, rerun
from darklantern.replication.table import TriggerArguments, _check_size

MODEL = bytelm.dumps(ByteLM(Shape(layers=1, dim=16, heads=2, context=24), torch.Generator().manual_seed(0)))
HASH = hashlib.sha256(MODEL).hexdigest()
CONTEXTS = [bytes(np.random.default_rng(i).integers(97, 123, 8, dtype=np.uint8)).decode() for i in range(6)]
ARGUMENTS = {"trigger": "~", "payload": "!?", "contexts": CONTEXTS[:3], "held_out": CONTEXTS[3:], "seed": 0}
CLAIMED = (Figure(name="probability after the trigger", value=0.5, tolerance=0.02),)


def evidence(figures=CLAIMED, recipe=None, **changed) -> Evidence:
    fields = {"function": "methods.trigger_circuit", "version": 2, "arguments": ARGUMENTS, "artifacts": {"model": HASH}}
    return Evidence(
        method="activation patching",
        summary="",
        provenance=Provenance(model=HASH, data="0" * 64, seed=0, code="0", versions={}),
        figures=tuple(figures),
        recipe=recipe or Recipe(**(fields | changed)),
    )


def found() -> dict[str, float]:
    return TABLE["methods.trigger_circuit", 2].run(ARGUMENTS, {"model": MODEL})


def test_honest_figures_hold_and_a_changed_one_differs() -> None:
    honest = [Figure(name=name, value=value, tolerance=1e-9) for name, value in found().items()]
    again = rerun(evidence(honest), {HASH: MODEL})
    assert again.holds
    assert len(again.figures) == 4
    changed = [*honest[:-1], Figure(name=honest[-1].name, value=honest[-1].value + 0.1, tolerance=0.02)]
    again = rerun(evidence(changed), {HASH: MODEL})
    assert not again.holds
    assert [figure.holds for figure in again.figures] == [True, True, True, False]
    assert "DIFFERS" in str(again)


def test_a_figure_within_its_tolerance_holds() -> None:
    name, value = next(iter(found().items()))
    assert rerun(evidence([Figure(name=name, value=value + 0.015, tolerance=0.02)]), {HASH: MODEL}).holds


REFUSED = {
    "no recipe": (Evidence(method="m", summary="", provenance=evidence().provenance), "carries no recipe"),
    "a name that is not in the table": (evidence(function="os.system"), "not in the local table"),
    "a version that is not in the table": (evidence(version=3), "not in the local table"),
    "the version that measured what it chose on": (evidence(version=1), "v1 is not in the local table"),
    "no figures": (evidence([]), "claims no figure"),
    "a tolerance that always holds": (
        evidence([Figure(name=CLAIMED[0].name, value=0.5, tolerance=1e9)]),
        "would hold within 1e.09",
    ),
    "a tolerance that is no number": (
        evidence([Figure(name=CLAIMED[0].name, value=0.5, tolerance=float("nan"))]),
        "would hold within nan",
    ),
    "a context in both sets": (evidence(arguments=ARGUMENTS | {"held_out": CONTEXTS[2:]}), "are among those held out"),
    "no contexts held out": (evidence(arguments=ARGUMENTS | {"held_out": []}), "refuses its arguments"),
    "a missing artifact": (evidence(artifacts={"model": "1" * 64}), "is not here"),
    "no artifact in the role": (evidence(artifacts={}), "needs an artifact in the role 'model'"),
    "an unknown argument": (evidence(arguments=ARGUMENTS | {"code": "import os"}), "refuses its arguments"),
    "a missing argument": (evidence(arguments={"trigger": "~"}), "refuses its arguments"),
    "an argument of another type": (evidence(arguments=ARGUMENTS | {"seed": "0"}), "refuses its arguments"),
    "text that is no bytes": (evidence(arguments=ARGUMENTS | {"trigger": "→"}), "refuses its arguments"),
    "contexts of several lengths": (
        evidence(arguments=ARGUMENTS | {"contexts": ["ab", "abc"]}),
        "refuses its arguments",
    ),
    "no contexts": (evidence(arguments=ARGUMENTS | {"contexts": []}), "refuses its arguments"),
    "a prompt longer than the model": (evidence(arguments=ARGUMENTS | {"payload": "x" * 40}), "refuses its arguments"),
    "bytes beyond the vocabulary": (evidence(arguments=ARGUMENTS | {"payload": "é"}), "refuses its arguments"),
    "a figure that the recipe does not yield": (evidence([Figure(name="other", value=1.0)]), "does not yield"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_run_again_is_refused_with_a_hint(what: str) -> None:
    bad, message = REFUSED[what]
    with pytest.raises(RecipeError, match=message) as refused:
        rerun(bad, {HASH: MODEL})
    assert refused.value.hint


def test_a_recipe_that_would_run_for_hours_or_fill_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("darklantern.methods.trigger_circuit", None)

    def texts(count: int, start: int) -> list[str]:
        return [f"{start + i:0200d}" for i in range(count)]

    deep = bytelm.dumps(ByteLM(Shape(layers=8, dim=64, heads=16, context=512), torch.Generator().manual_seed(0)))
    mark = hashlib.sha256(deep).hexdigest()
    for chosen_on, held_out in ((64, 64), (1, 256)):
        arguments = ARGUMENTS | {"contexts": texts(chosen_on, 0), "held_out": texts(held_out, chosen_on)}
        with pytest.raises(RecipeError, match="multiply-adds") as refused:
            rerun(evidence(arguments=arguments, artifacts={"model": mark}), {mark: deep})
        assert refused.value.hint


def test_what_the_demo_asks_for_is_far_from_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("darklantern.replication.table.WORK", 10**11)
    texts = [f"{i:016d}" for i in range(32)]
    arguments = {"trigger": "~" * 8, "payload": "!" * 34, "contexts": texts[:16], "held_out": texts[16:], "seed": 0}
    _check_size(Shape(), msgspec.convert(arguments, TriggerArguments))


def test_every_model_that_loads_runs_or_is_refused_with_a_hint() -> None:
    for heads in (0, 3, 1):
        data = bytelm.dumps(ByteLM(Shape(layers=1, dim=16, heads=1, context=24), torch.Generator().manual_seed(0)))
        data = data.replace(b'\\"heads\\": 1', b'\\"heads\\": %d' % heads)
        mark = hashlib.sha256(data).hexdigest()
        with pytest.raises(DarkLanternError) as refused:
            rerun(evidence(artifacts={"model": mark}), {mark: data})
        assert refused.value.hint


def test_an_artifact_with_other_bytes_is_refused_before_it_is_read() -> None:
    with pytest.raises(RecipeError, match="should have hash"):
        rerun(evidence(), {HASH: MODEL[:-1] + b"\0"})


def test_an_artifact_that_is_no_model_is_refused() -> None:
    junk = b"not a model"
    mark = hashlib.sha256(junk).hexdigest()
    with pytest.raises(SnapshotError):
        rerun(evidence(artifacts={"model": mark}), {mark: junk})


def test_all_refusals_are_errors_of_ours() -> None:
    assert issubclass(RecipeError, DarkLanternError)
