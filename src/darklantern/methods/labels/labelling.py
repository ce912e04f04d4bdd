"""`label`: what does a neuron, a direction or a feature respond to?"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from darklantern.errors import MethodError
from darklantern.methods.labels.features import Feature, as_feature
from darklantern.methods.labels.gathering import Gathered, Part, check_varies, gather
from darklantern.methods.labels.judging import ByModel, ByRule, Judge, Says, named_by
from darklantern.methods.labels.labelled import Data, HeldOut, Label, Text
from darklantern.methods.labels.levels import ZERO, edge, level
from darklantern.methods.labels.reading import Words
from darklantern.methods.labels.rules import Lifts, Rule, at_random, lifts
from darklantern.methods.labels.scoring import Score, detection, fuzzing
from darklantern.methods.labels.spans import Span
from darklantern.methods.making import making
from darklantern.methods.opened import check_opened
from darklantern.models.opened import Model
from darklantern.models.shim import without_gradients
from darklantern.models.sites import Site

QUANTILES = 4
"""parts of the active tokens, by activation, each with spans of its own"""
_EACH = 6
"""spans of a part"""
_HIGHEST = 5
"""spans whose median height stands for the maximum, which one odd token would decide"""


def label(
    model: Model,
    data: Data,
    feature: Feature | str | Site | Any,
    *,
    site: str | Site | None = None,
    threshold: float | None = None,
    held_out: float = 0.25,
    llm: Says | None = None,
    text: Text = None,
    skip: int = 0,
    seed: int = 0,
) -> Label:
    """When is `feature` active? A text, a rule, spans by activation, and scores on held-out examples.

    `feature` is a neuron (`"layers.2.mlp:neurons[neuron=17]"`), a direction with its `site`, or a Feature. `data` are
    prompts, batches, or integer arrays (batch, pos), or an iterable of them, read once; a share `held_out` of the
    examples, drawn by `seed`, is kept for scores. Active is what reaches `threshold`, rounded down to a level of
    4.4 %; without it, half-way between the median token and the median of the five highest spans. `skip` leaves out the
    first tokens of each example, where models often keep large numbers that mean nothing.

    No language model is needed: the label is the rule whose tokens go with activation (see `rules.lifts`), and the
    search is run besides on shuffled activations. With `llm`, any function from a prompt to an answer, that names the
    feature from its spans and judges held-out spans as well. `text` gives tokens their text where the model has no
    tokenizer. Costs one run a batch, up to the site, and memory that does not grow with the data, but for counts of
    the contexts seen. Source: Bills et al. 2023; Paulo et al. 2024.

    Raises MethodError for constant or non-finite activations, and where nothing is active or nothing held out.
    """
    options = {"threshold": threshold, "held_out": held_out, "llm": llm, "text": text, "skip": skip, "seed": seed}
    found = label_each(model, data, [as_feature(feature, site)], **options)[0]  # type: ignore[arg-type]
    if isinstance(found, MethodError):
        raise found
    return found


def label_each(
    model: Model,
    data: Data,
    wanted: Sequence[Feature | str | Site | Any],
    *,
    threshold: float | None = None,
    held_out: float = 0.25,
    llm: Says | None = None,
    text: Text = None,
    skip: int = 0,
    seed: int = 0,
) -> tuple[Label | MethodError, ...]:
    """As `label`, of several features in one pass over the data; a recorded site is shared by its features.

    A feature that is constant, or never active, has the error that says so in its place: of many neurons some are dead.
    """
    check_opened(model)
    chosen = [as_feature(each) for each in wanted]
    _check(chosen, held_out, skip)
    with without_gradients(), making("label", model, seed) as under_way:
        under_way.saw(threshold, held_out, skip, *map(str, chosen))
        found, words = gather(model, data, chosen, held_out, skip, seed, text, under_way.saw)
        drafts = [_tried(each, words, threshold, llm, seed) for each in found]
    made = under_way.made()
    return tuple(draft if isinstance(draft, MethodError) else Label(**draft, made=made) for draft in drafts)


def _tried(
    found: Gathered, words: Words, threshold: float | None, llm: Says | None, seed: int
) -> dict[str, Any] | MethodError:
    try:
        check_varies(found)
        at = _threshold(found.fitted, threshold, found.feature)
    except MethodError as error:
        return error
    return _labelled(found, at, words, llm, seed)


def _check(chosen: Sequence[Feature], held_out: float, skip: int) -> None:
    if not chosen:
        raise MethodError(
            "expected at least one feature to label, got none", hint='["layers.2.mlp:neurons[neuron=17]"]'
        )
    if not 0 <= held_out < 1:
        raise MethodError(f"held_out must be a share from 0 to below 1, got {held_out!r}", hint="held_out=0.25, say")
    if skip < 0:
        raise MethodError(f"skip must be 0 or more tokens, got {skip!r}", hint="skip=1 leaves the first one out")


def _labelled(found: Gathered, at: int, words: Words, llm: Says | None, seed: int) -> dict[str, Any]:
    # 1. What goes with activity, and what would by chance.
    fitted, held = found.fitted, found.held
    told, by_chance = lifts(fitted.counts, at, words), lifts(found.shuffled, at, words)
    quantiles = _quantiles(fitted, at)
    active = [span for _, part in quantiles[:-1] for span in part]
    named = _named(told) if llm is None else named_by(llm, active, edge(at))

    # 2. How it holds on the rest.
    judges: dict[str, Judge] = {}
    if told.rule is not None:
        judges["the rule"] = ByRule(told.rule)
        if (other := at_random(fitted.counts[told.rule.view], told.rule, np.random.default_rng(seed))) is not None:
            judges["random codes"] = ByRule(other)
    if llm is not None:
        judges["the language model"] = ByModel(named, llm)
    scores, unscored = _scores(judges, held, edge(at), seed)
    return {
        "feature": found.feature,
        "text": named,
        "rule": told.rule,
        "lifts": told.lifts,
        "threshold": edge(at),
        "density": fitted.histogram.density(at),
        "histogram": fitted.histogram.bars(),
        "quantiles": quantiles,
        "tokens": fitted.histogram.total + held.histogram.total,
        "control": 0.0 if by_chance.rule is None else by_chance.rule.f1,
        "held": _held(told.rule, held, at),
        "scores": scores,
        "unscored": unscored,
        "words": words,
    }


def _named(told: Lifts) -> str:
    return "nothing that its tokens tell" if told.rule is None else told.rule.says


def _threshold(fitted: Part, asked: float | None, feature: Feature) -> int:
    """The level from which on a token counts as active."""
    seen = fitted.histogram
    if asked is None:
        top = float(np.median([height for height, _ in fitted.spans.top[:_HIGHEST]]))
        asked = (seen.quantile(0.5) + top) / 2
    at = int(level(np.array([asked]))[0])
    # A threshold of 0 is passed by what is above 0.
    at = ZERO + 1 if at == ZERO else at
    if not 0 < seen.density(at) < 1:
        where = "nowhere" if not seen.density(at) else "everywhere"
        raise MethodError(
            f"{feature} reaches {asked:g} {where}: it lies between {seen.low:g} and {seen.high:g}",
            hint="a threshold between those",
        )
    return at


def _quantiles(fitted: Part, at: int) -> tuple[tuple[str, tuple[Span, ...]], ...]:
    drawn = list(fitted.spans.drawn())
    edges = [edge(at), *(fitted.histogram.quantile(part / QUANTILES, at) for part in range(1, QUANTILES)), np.inf]
    made = [("highest", tuple(span for _, span in fitted.spans.top[:_EACH]))]
    for part in reversed(range(QUANTILES)):
        low, high = edges[part], edges[part + 1]
        there = [span for span in drawn if low <= span.activation < high]
        if there:
            made.append(
                (f"{part / QUANTILES:.0%} to {(part + 1) / QUANTILES:.0%} of active tokens", tuple(there[:_EACH]))
            )
    return (*made, ("not active", tuple(span for span in drawn if span.activation < edge(at))[:_EACH]))


def _held(rule: Rule | None, held: Part, at: int) -> HeldOut | None:
    if rule is None or not held.histogram.total:
        return None
    codes, seen, hits = held.counts[rule.view].above(at)
    there = np.isin(codes, np.fromiter(rule.codes, dtype=np.int64))
    active = int(held.histogram.counts[at:].sum())
    if not active:
        return None
    said, right = int(seen[there].sum()), int(hits[there].sum())
    return HeldOut(right / said if said else 0.0, right / active, held.histogram.total)


def _scores(judges: dict[str, Judge], held: Part, threshold: float, seed: int) -> tuple[tuple[Score, ...], str]:
    """Each judge's scores, and why there are fewer than there might be."""
    if not held.histogram.total:
        return (), "nothing was held out"
    drawn = list(held.spans.drawn())
    active = [span for span in drawn if span.activation >= threshold]
    quiet = [span for span in drawn if span.activation < threshold]
    made: list[Score] = []
    if not active or not quiet:
        return (), f"{len(active)} held-out spans are active and {len(quiet)} quiet"
    if not judges:
        return (), "there is no rule to judge by"
    unscored = ""
    for name, judge in judges.items():
        made.append(replace(detection(judge, active, quiet, threshold, seed), name=f"detection by {name}"))
        if any(span.mixed(threshold) for span in active):
            made.append(replace(fuzzing(judge, active, threshold, seed), name=f"fuzzing by {name}"))
        else:
            unscored = "no held-out span has both active tokens and others"
    return tuple(made), unscored
