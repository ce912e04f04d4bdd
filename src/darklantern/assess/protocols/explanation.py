"""W: do we know why it works well enough to predict interventions that nobody has made?

The explanation's predictions stand in the journal, with their hash, before the first unseen intervention is measured.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import partial
from math import isfinite
from typing import Final

import numpy as np
from numpy.typing import NDArray

from darklantern.assess.protocols.answers import answered, failed, left_open, not_measured, span
from darklantern.assess.protocols.subject import Interventions, Subject
from darklantern.assess.protocols.trials import Outcome, Outcomes, Protocol, Trial
from darklantern.assess.table import Table
from darklantern.errors import AssessmentError
from darklantern.records.assessments import Answer
from darklantern.records.exact import Sha256

ID: Final = "preregistered-predictions/2"
LEAST: Final = 8
"""unseen interventions, below which a bootstrap over them says nothing"""
ENOUGH: Final = 20
"""of which it takes so many to be sure: a failure in one of ten would be missed with a chance of 12 %, by 8 of 43 %"""
DRAWS: Final = 4000

Numbers = NDArray[np.float64]


def explanation(
    measured: Mapping[str, float],
    predicted: Mapping[str, float],
    without_mechanism: Mapping[str, float] | None,
    table: Table,
    evidence: tuple[Sha256, ...] = (),
    seed: int = 0,
) -> Answer:
    """W from effects of unseen interventions, each predicted by the explanation and by whoever has none.

    explained: R² of the predictions surely reaches `explained_r2`, and their squared errors are surely less than those
    without a mechanism. Both by the 95 % interval of a bootstrap over interventions. R² is against the mean of what was
    measured, so that a prediction of the right mean alone gets 0. With fewer than 20 interventions, or without a
    predictor that knows no mechanism, unexplained stays possible.
    """
    names, sure = sorted(measured), len(measured) >= ENOUGH and without_mechanism is not None
    least_known = without_mechanism or dict.fromkeys(names, float(np.mean(list(measured.values()))))
    truth, said, blind = (np.array([each[name] for name in names]) for each in (measured, predicted, least_known))
    if not all(np.isfinite(each).all() for each in (truth, said, blind)):
        return failed("W", ID, "an effect or a prediction is not finite", evidence)
    if len(names) < LEAST or np.ptp(truth) == 0:
        few = f"{len(names)} unseen interventions" if len(names) < LEAST else "all unseen interventions do the same"
        return not_measured("W", f"{few}: it takes {LEAST} whose effects differ")
    rows = np.random.default_rng([seed, 0x3E7]).integers(len(names), size=(DRAWS, len(names)))
    r2 = _bounds(_r2(truth, said), [_r2(truth[row], said[row]) for row in rows])
    errors = (truth - blind) ** 2 - (truth - said) ** 2
    gain = _bounds(float(errors.mean()), [float(errors[row].mean()) for row in rows])
    least = table.source.thresholds.explained_r2
    possible = {
        "explained": r2[1] >= least and gain[1] > 0,
        "unexplained": not (sure and r2[0] >= least and gain[0] > 0),
    }
    better = "less" if gain[0] > 0 else "more" if gain[1] < 0 else "not surely less"
    blind_r2 = f"squared errors {better} than without a mechanism, whose R² is {_r2(truth, blind):.3f}"
    says = (
        f"R² {_r2(truth, said):.3f} {span(r2)} over {len(names)} unseen interventions, predicted before they were made "
        f"(explained from {least}, by {ENOUGH} or more); "
        + (blind_r2 if without_mechanism is not None else "nobody predicted without a mechanism")
    )
    return answered("W", left_open(table, "W", possible), ID, says, evidence, r2)


def _r2(truth: Numbers, said: Numbers) -> float:
    spread = float(((truth - truth.mean()) ** 2).sum())
    return 1 - float(((truth - said) ** 2).sum()) / spread if spread else float("nan")


def _bounds(value: float, drawn: list[float]) -> tuple[float, float]:
    """95 %, holding the estimate too; draws in which nothing varies have no R²."""
    low, high = np.nanquantile(drawn, (0.025, 0.975))
    return min(float(low), value), max(float(high), value)


def _trials(subject: Subject) -> tuple[Trial, ...]:
    given = subject.interventions
    if given is None:
        return ()
    if set(given.seen) & set(given.unseen) or len({*given.seen, *given.unseen}) < len(given.seen) + len(given.unseen):
        raise AssessmentError("an intervention stands twice among seen and unseen ones", hint="each once")
    return (
        *(Trial(f"effect {name}", partial(_measured, given.measure, name)) for name in given.seen),
        Trial("predictions", partial(_registered, given)),
        *(Trial(f"effect {name}", partial(_measured, given.measure, name)) for name in given.unseen),
    )


def _measured(measure: Callable[[str], float], name: str, _: Outcomes) -> Outcome:
    found = float(measure(name))
    return found if isfinite(found) else None


def _registered(given: Interventions, before: Outcomes) -> Outcome:
    seen = {name: before[f"effect {name}"] for name in given.seen}
    readers = {"mechanism": given.predict, "without": given.without_mechanism}
    said = {reader: predict(seen) for reader, predict in readers.items() if predict is not None}
    for reader, each in said.items():
        if set(each) != set(given.unseen):
            raise AssessmentError(
                f"{reader}: predictions for {len(each)} interventions, of which {len(set(given.unseen) - set(each))} "
                "that were asked for are missing",
                hint="a number for each unseen one",
            )
    values = {reader: {name: float(number) for name, number in each.items()} for reader, each in said.items()}
    return {**values, "sha256": hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()}


def _conclude(subject: Subject, outcomes: Outcomes, table: Table, evidence: tuple[Sha256, ...]) -> Answer:
    given = subject.interventions
    if given is None:
        return not_measured("W", f"no predictions of unseen interventions were registered: {EXPLANATION.needs}")
    said, found = outcomes["predictions"], {name: outcomes[f"effect {name}"] for name in given.unseen}
    if set(said["mechanism"]) != set(found):
        raise AssessmentError(
            f"predictions of {len(said['mechanism'])} interventions were registered, and {len(found)} are to count",
            hint="all that was registered counts: name the subject anew, and begin with a new journal",
        )
    effects = {name: float("nan") if each is None else each for name, each in found.items()}
    return explanation(effects, said["mechanism"], said.get("without"), table, evidence)


EXPLANATION: Final = Protocol(
    criterion="W",
    id=ID,
    needs=f"an explanation that predicts effects, and {LEAST} interventions or more that nobody has made",
    trials=_trials,
    conclude=_conclude,
)
