"""The lines of the room `assess`: each counts what must not happen."""

from itertools import product
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from assessing.channels import CASES
from darklantern.assess import Table, decide, evaluate, load
from darklantern.assess.bits import conditional_information_bits, information_bits, pvi_bits, pvi_range
from darklantern.assess.bounds import empirical_bernstein
from darklantern.assess.table import RUNS
from darklantern.records.assessments import LEVELS, Answer

Line = dict[str, Any]
SEED = 20_261_123
MESSAGES = 4000
JOINTS = 20_000
DECISIONS = 400
TOLERANCE = 0.03
"""bits"""


def line(name: str, value: int, unit: str, bar: str, ok: bool, detail: dict[str, Any]) -> Line:
    return {"room": "assess", "name": name, "value": int(value), "unit": unit, "peer": None, "peer_version": None,
            "bar": bar, "ok": bool(ok), "detail": {"seed": SEED, **detail}}  # fmt: skip


def table() -> list[Line]:
    """Every assignment once: does any open when an input closes? Then ranges and single changes, by brute force."""
    held = load()
    scales = [criterion.values for criterion in held.criteria.values()]
    found = [
        evaluate(held, dict(zip(held.criteria, values, strict=True)))
        for values in track(list(product(*scales)), "assignments", console=Console(stderr=True))
    ]
    shape = [len(scale) for scale in scales]
    levels = np.array([LEVELS.index(each.level) for each in found]).reshape(shape)
    runs = np.array([RUNS.index(each.run) for each in found]).reshape(shape)
    opened = sum(int((np.diff(each, axis=axis) < 0).sum()) for each in (levels, runs) for axis in range(levels.ndim))
    ranges, changes, of = _decisions(held, levels)
    detail = {"assignments": levels.size, "open": round(float((levels == 0).mean()), 4)}
    return [
        line("table: openings when an input closes", opened, "violations", "0", opened == 0, detail),
        line("table: ranges of unknowns against brute force", ranges, "violations", "0", ranges == 0, of),
        line("table: changes that would lower it", changes, "violations", "0", changes == 0, of),
    ]


def _decisions(held: Table, levels: np.ndarray) -> tuple[int, int, dict[str, Any]]:
    """Random answers: ranges that are none, and promised changes that do not give what they promise."""
    rng, ranges, changes, promised = np.random.default_rng(SEED), 0, 0, 0
    for _ in track(range(DECISIONS), "decisions", console=Console(stderr=True)):
        left = {code: _left(scale.values, rng) for code, scale in held.criteria.items()}
        made = decide([_answer(held, code, values) for code, values in left.items()], held)
        places = [[held.rank(code, value) for value in values] for code, values in left.items()]
        seen = levels[np.ix_(*places)]
        ranges += (LEVELS[seen.min()], LEVELS[seen.max()]) != (made.lowest, made.operate)
        closed = {code: values[-1] for code, values in left.items()}
        for change in (*made.lowering, *made.together):
            promised += 1
            now = evaluate(held, {**closed, **change.answers}).level
            changes += now != change.level or not now < made.operate
    return ranges, changes, {"decisions": DECISIONS, "changes": promised}


def _left(values: tuple[str, ...], rng: np.random.Generator) -> tuple[str, ...]:
    kept = rng.random(len(values)) < 0.6
    kept[rng.integers(len(values))] = True
    return tuple(value for value, keep in zip(values, kept, strict=True) if keep)


def _answer(held: Table, code: str, values: tuple[str, ...]) -> Answer:
    kind = held.criteria[code].kinds[0]
    return Answer(criterion=code, values=values, kind=kind, rater="bench", protocol="bench/1")  # type: ignore[arg-type]


def information() -> list[Line]:
    """The exact channels, and secrets beside a truth in random joints."""
    rng, cases = np.random.default_rng(SEED), {}
    for case in CASES:
        prior = [1 / case.classes] * case.classes
        bits = pvi_bits(*case.predicted(MESSAGES, rng), prior)
        lower = empirical_bernstein(bits.tolist(), *pvi_range(prior))[0]
        cases[case.name] = {
            "truth": round(case.truth, 4), "estimate": round(float(bits.mean()), 4), "lower": round(lower, 4),
            "budget": round(case.budget, 4),
        }  # fmt: skip
    wrong = sum(
        each["lower"] > each["truth"] + 1e-4 or each["estimate"] < each["truth"] - TOLERANCE for each in cases.values()
    )
    over = 0
    for _ in track(range(JOINTS), "joints", console=Console(stderr=True)):
        sizes = rng.integers(2, 5, 3)
        joint = rng.dirichlet(np.full(sizes.prod(), rng.choice([0.05, 0.3, 1.0]))).reshape(sizes)
        told = information_bits(joint.sum(0))
        over += conditional_information_bits(joint) > np.log2(sizes[1]) - told + 1e-9
    return [
        line("information_efficiency: exact channels", wrong, "violations", "0", wrong == 0, cases),
        line("information_efficiency: slack", over, "violations", "0", over == 0, {"joints": JOINTS}),
    ]
