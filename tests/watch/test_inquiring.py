"""What is too dear for every look runs once after an alarm, on the model as it stands, and changes nothing."""

import numpy as np
from watch.loops import RECIPE, TRUSTED, Scripted, parts, rising

from darklantern.models.shim import tokens
from darklantern.models.snapshot import weights_hash
from darklantern.organisms import training
from darklantern.watch import Examples, Reaction, Settings, watch
from darklantern.watch.investigations import ablation, learning_coefficient


def watched(*investigate, on_alarm=Reaction.LOG, **given):
    model, optimizer, loader = parts()
    w = watch(
        model,
        state=(optimizer, loader),
        trusted=TRUSTED,
        signals=[Scripted(rising)],
        settings=Settings(every=5, margin=1, rollbacks=1),
        on_alarm=on_alarm,
        investigate=investigate,
        **given,
    )
    hashes = {}
    for batch in w.over(loader):
        hashes.setdefault(w.step, weights_hash(model))
        training.train_step(model, optimizer, RECIPE, w.step, batch)
    return w, hashes


def payload_metric(output):
    return (output if not hasattr(output, "logits") else output.logits).softmax(-1)[:, -1].max(-1).values.mean()


def which_heads(case):
    inputs = tokens(TRUSTED[:8, :-1])
    named, spare = "layers.0.attn:z[head=0]", "layers.0.attn:z[head=1]"
    return ablation(case.model, inputs, payload_metric, [named], [spare], draws=2, seed=case.seed)


def coefficient(case):
    rows = case.trusted.inputs[:24].astype(np.int64)
    return learning_coefficient(case.model, Examples(rows[:, :-1], rows[:, 1:]), chains=2, draws=3, settle=2)


def test_investigations_run_once_at_the_alarm_and_leave_the_run_as_it_was() -> None:
    plain, _ = watched()
    seen = []
    w, hashes = watched(which_heads, coefficient, lambda case: seen.append(case))
    ((alarm, found),) = w.investigated
    assert alarm is w.alarm
    assert [each.name for each in found] == ["which heads", "coefficient", "investigation"]
    assert np.isfinite(found[1].result.value)
    assert 0 <= found[0].result.before <= 1
    assert seen[0].alarm is alarm
    assert len([event for event in w.events if event.label == "investigated"]) == 3
    assert hashes == watched()[1], "every step's weights are those of a run without investigations"
    assert plain.investigated == []


def test_one_that_fails_is_said_and_the_reaction_comes_anyway() -> None:
    def slips(case):
        raise KeyError("no such thing")

    w, _ = watched(slips, which_heads, on_alarm=Reaction.ROLL_BACK)
    (failed,) = [event for event in w.events if event.label == "failure"]
    assert "slips of the alarm at step" in failed.text
    assert [each.name for each in w.investigated[0][1]] == ["which heads"]
    assert w.rollbacks == 1
    assert w.step == 60


def test_what_was_found_is_evidence_of_the_finding() -> None:
    kept = []
    watched(which_heads, on_finding=kept.append)
    methods = [evidence.method for evidence in kept[0].finding.evidence]
    assert methods[:2] == ["watch", "which heads"]
    assert "removed" in kept[0].finding.evidence[1].summary
