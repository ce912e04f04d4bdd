"""Rules: which codes of a view go with activation beyond chance, and the set of them that tells it best."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from darklantern.methods.labels.contexts import VIEWS, described, tokens_of
from darklantern.methods.labels.counting import Counts
from darklantern.methods.labels.reading import Words

Whole = NDArray[np.int64]
ALPHA = 0.01
"""chance of one code or more beyond the bar where activation has nothing to do with any, by Bonferroni"""
_EACH = 0.001
"""F1 that one more code in a rule must be worth"""
_PLAINER = 0.05
"""F1 by which a less plain view must be better: two conditions at once fit some chance besides"""
_TOLD = 6
"""codes that a rule's text names"""
_KEPT = 32
"""lifts that are kept"""
_OTHERS = 8
"""other codes of a view, from which on some can be drawn at random"""
_PHRASES = {
    "token": "the token {}",
    "previous": "after {}",
    "next": "before {}",
    "two before": "two tokens after {}",
    "kind": "{}",
    "within": "within {}",
    "ending": "a token that ends in {}",
    "beginning": "a token that begins with {}",
    "position": "{}",
    "token after": "{}",
    "token within": "{}",
}


@dataclass(frozen=True)
class Lift:
    """How much more often one code stands where the feature is active than anywhere."""

    view: str
    code: int
    says: str
    seen: int
    """tokens at which it stood"""
    active: int
    """of them, those at which the feature is active"""
    lift: float
    """share of active tokens there, over the share anywhere"""
    log_odds: float
    """of being active there over elsewhere, in nats, half a count added to each cell"""
    nats: float
    """by the share of active tokens anywhere, so many here have a chance of at most exp(−nats)"""


@dataclass(frozen=True)
class Rule:
    """A feature is active where a view shows one of these codes."""

    view: str
    codes: frozenset[int]
    says: str
    precision: float
    """share of its tokens that are active, on the data that it was made from"""
    recall: float
    """share of active tokens that are its own, there"""
    lift: float

    @property
    def f1(self) -> float:
        return _f1(self.precision, self.recall)

    @property
    def tokens(self) -> tuple[int, ...]:
        """The tokens that it names, where it names tokens."""
        named = (tokens_of(self.view, code) for code in sorted(self.codes))
        return tuple(dict.fromkeys(each for each in named if each is not None))

    def holds(self, codes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """At which tokens it holds, of what `contexts.views` or a span shows, (view, …)."""
        found: NDArray[np.bool_] = np.isin(codes[VIEWS.index(self.view)], np.fromiter(self.codes, dtype=np.int64))
        return found


@dataclass(frozen=True)
class Lifts:
    """What goes with activation, strongest first, and the rule made of it."""

    lifts: tuple[Lift, ...]
    rule: Rule | None
    """None where nothing goes with it beyond chance"""
    candidates: int
    """codes that were asked"""
    bar: float
    """nats that a code had to reach"""


def lifts(counts: Mapping[str, Counts], threshold: int, words: Words) -> Lifts:
    """Codes that stand at active tokens beyond chance, and of all sets of one view's codes the one with the best F1.

    Taken in order of precision, the best set of codes is one of the first n. A code counts whose binomial chance,
    bounded by Chernoff's exp(−n·KL), is below `ALPHA` over all candidates (Bonferroni). Tokens near each other are not
    drawn apart, so a long stretch of one kind is worth less than that says: held-out scores and shuffled activations
    tell.
    """
    tables = {view: counts[view].above(threshold) for view in VIEWS}
    candidates = sum(len(codes) for codes, _, _ in tables.values())
    bar = -math.log(ALPHA / max(candidates, 1))
    _, all_seen, all_active = tables["token"]
    total, active = int(all_seen.sum()), int(all_active.sum())
    found: list[Lift] = []
    best: Rule | None = None
    for view, (codes, seen, hits) in tables.items():
        odds, nats = log_odds(hits, seen, active, total), surprise(hits, seen, active / total)
        good = np.flatnonzero(nats > bar)
        order = good[np.lexsort((-seen[good], -hits[good] / seen[good]))]
        made = [(view, int(codes[i]), int(seen[i]), int(hits[i]), float(odds[i]), float(nats[i])) for i in order]
        found += [
            Lift(v, code, described(v, code, words), n, k, (k / n) / (active / total), each, score)
            for v, code, n, k, each, score in made
        ]
        rule = _best(view, codes[order], seen[order], hits[order], active, total, words)
        if rule is not None and (best is None or _worth(rule) > _worth(best) + _PLAINER):
            best = rule
    found.sort(key=lambda each: (-each.nats, VIEWS.index(each.view)))
    return Lifts(tuple(found[:_KEPT]), best, candidates, bar)


def log_odds(hits: Whole, seen: Whole, active: int, total: int) -> NDArray[np.float64]:
    """Of each code, the log odds ratio of being active there over elsewhere, in nats (Haldane 1956; Anscombe 1956)."""
    misses = seen - hits
    cells = np.array([hits, misses, active - hits, total - active - misses], dtype=np.float64) + 0.5
    found: NDArray[np.float64] = np.log(cells[0] / cells[1]) - np.log(cells[2] / cells[3])
    return found


def surprise(hits: Whole, seen: Whole, rate: float) -> NDArray[np.float64]:
    """n·KL(hits/n ‖ rate) in nats, 0 where hits are no more than expected: Chernoff's bound on the binomial tail."""
    share = np.maximum(hits / seen, rate)
    with np.errstate(divide="ignore", invalid="ignore"):
        no = np.where(share < 1, (1 - share) * np.log((1 - share) / (1 - rate)), 0.0)
    found: NDArray[np.float64] = seen * (share * np.log(share / rate) + no)
    return found


def _best(view: str, codes: Whole, seen: Whole, hits: Whole, active: int, total: int, words: Words) -> Rule | None:
    """The first n codes, for the n with the highest F1 less `_EACH` for each."""
    if not len(codes):
        return None
    right, said = np.cumsum(hits), np.cumsum(seen)
    worth = 2 * right / (said + active) - _EACH * np.arange(len(codes))
    count = int(np.argmax(worth)) + 1
    precision, recall = float(right[count - 1] / said[count - 1]), float(right[count - 1] / active)
    chosen = [int(code) for code in codes[:count]]
    loudest = [chosen[i] for i in np.argsort(-hits[:count], kind="stable")[:_TOLD]]
    says = _PHRASES[view].format(_joined([described(view, code, words) for code in loudest], count))
    return Rule(view, frozenset(chosen), says, precision, recall, precision * total / active)


def _joined(named: list[str], count: int) -> str:
    named = list(dict.fromkeys(named))
    if count > _TOLD:
        return f"{', '.join(named)} or {count - len(named)} more"
    return " or ".join([", ".join(named[:-1]), named[-1]]) if len(named) > 1 else named[0]


def _worth(rule: Rule) -> float:
    return rule.f1 - _EACH * (len(rule.codes) - 1)


def _f1(precision: float, recall: float) -> float:
    both = precision + recall
    return 2 * precision * recall / both if both and math.isfinite(both) else 0.0


def at_random(counts: Counts, rule: Rule, rng: np.random.Generator) -> Rule | None:
    """Other codes of the same view, drawn until they stand as often as the rule's: what a label by chance would say.

    None where the view has too few others, which would be the opposite of the rule rather than a draw.
    """
    codes, seen, _ = counts.above(0)
    mine = np.isin(codes, np.fromiter(rule.codes, dtype=np.int64))
    order = rng.permutation(np.flatnonzero(~mine))
    if len(order) < _OTHERS:
        return None
    enough = int(np.searchsorted(np.cumsum(seen[order]), seen[mine].sum())) + 1
    return replace(rule, codes=frozenset(codes[order[:enough]].tolist()), says="codes drawn at random")
