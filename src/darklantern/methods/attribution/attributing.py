"""Attribution by gradients: what each value adds to a metric, for all of them at once."""

from collections.abc import Iterator, Sequence
from typing import Any

from darklantern.errors import MethodError
from darklantern.methods.aligned import is_stream, pairs
from darklantern.methods.attribution.adding import Sums
from darklantern.methods.attribution.asking import Asked, asked
from darklantern.methods.attribution.attributions import Attribution
from darklantern.methods.attribution.exact import Question
from darklantern.methods.attribution.freezing import kinds_of
from darklantern.methods.attribution.scoring import Case, Scored, by_gradient, by_patching, by_path, check_finite
from darklantern.methods.linearising import linearise
from darklantern.methods.making import Making, making
from darklantern.methods.opened import check_opened
from darklantern.methods.progress import tracked
from darklantern.models.opened import Model
from darklantern.models.recording import Value
from darklantern.models.shim import without_gradients
from darklantern.models.sites import Site

WAYS = ("gradient", "ig", "patching", "relp")


def attribute(
    model: Model,
    clean: Any,
    corrupt: Any,
    sites: str | Site | Sequence[str | Site],
    metric: Any,
    how: str = "relp",
    *,
    steps: int = 16,
    along: str | Site | None = None,
    per_example: bool = False,
) -> Attribution:
    """How much of `metric` each value at `sites` accounts for, in the metric's own unit, to first order.

    Axes that a site pins to `*` are kept, all others summed: `layers.*.attn:z[head=*]` has a score for each head,
    `embed:out[pos=*]` for each token, `layers.*.mlp:post[neuron=*]` for each neuron, `layers.*:out` for each layer.

    - `gradient`: gradient × value on `clean`; `corrupt` is None. The estimate of what zeros there would take away.
    - `patching`: gradient on `corrupt` × (clean − corrupt), the estimate of what `patch` would find there exactly.
    - `relp`: the same, with attention patterns, norms and activations' slopes held constant, those the model has.
      Mostly much closer to exact patches than `patching` is, at the same cost.
    - `ig`: the gradient's mean along a straight path × the path's length, by `steps` Gauss–Legendre points. Each site
      has a path of its own: its value goes from what it is on `corrupt`, or from zero where that is None, to what it is
      on `clean`, everything else on those inputs as it follows. With `along`, say `embed:out`, only that site is moved,
      and the gradients at all sites on the way count. How far the scores are from adding up to what the metric does
      along a path is always reported; at inner sites with `along` it is that of the paths through them.

    Scores are means over examples, whose metric has to be a mean over them too; with `per_example` a first axis
    `batch` has each example's own. Both inputs may be streams, of which one batch is held at a time:
    iterators, loaders, lists of batches.

    Costs two forward runs and one backward pass a batch, of which `gradient` needs one and one; `ig` `steps` of both
    for each path, and three runs. Memory is that of one gradient, whatever the steps.

    Sources: Sundararajan et al. 2017 (ig); Nanda 2023, attribution patching; Hanna et al. 2024, EAP-IG (`along`);
    Jafari et al. 2025, RelP. Raises MethodError for inputs that do not go with `how`, for a metric that is not finite;
    SiteError as `linearise` does, and for a metric that is no number.
    """
    check_opened(model)
    _check(how, corrupt, steps, along)
    with without_gradients(), making("attribute", model) as under_way:
        wanted = asked(model, sites)
        frozen = kinds_of(model) if how == "relp" else ()
        held = linearise(model, frozen) if frozen else model
        path = None if along is None else _only(asked(model, along))
        sums = Sums(wanted, per_example)
        for case in _cases(model, clean, corrupt, metric, wanted, under_way):
            scored = _scored(how, case, held, steps, path)
            check_finite(scored)
            sums.add(scored)
        scores = sums.values()
        _check_difference(scores, sums)
    return Attribution(
        how=how,
        frozen=frozen,
        scores=scores,
        clean=sums.clean,
        corrupt=sums.corrupt,
        paths=sums.paths,
        along=path,
        per_example=per_example,
        texts=sums.texts,
        question=Question(model, clean, corrupt, metric),
        made=under_way.made(),
    )


def _cases(
    model: Model, clean: Any, corrupt: Any, metric: Any, wanted: tuple[Asked, ...], under_way: Making
) -> Iterator[Case]:
    both = pairs(model, clean, corrupt)
    for one, other in tracked(both, "attributing") if is_stream(clean) else both:
        under_way.saw(one, *([] if other is None else [other]))
        yield Case(model, one, other, metric, wanted)


def _scored(how: str, case: Case, frozen: Model, steps: int, along: Site | None) -> Scored:
    if how == "gradient":
        return by_gradient(case)
    return by_path(case, steps, along) if how == "ig" else by_patching(case, frozen)


def _check(how: str, corrupt: Any, steps: int, along: Any) -> None:
    if how not in WAYS:
        raise MethodError(f"expected a way to attribute, got {how!r}", hint=f"one of {', '.join(WAYS)}")
    if how in ("patching", "relp") and corrupt is None:
        raise MethodError(f"{how} compares two inputs, and corrupt is None", hint='how="gradient" or "ig" take one')
    if how == "gradient" and corrupt is not None:
        raise MethodError("gradient × value has zero as its baseline", hint='corrupt=None, or how="patching"')
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise MethodError(f"expected a number of points on the path, got {steps!r}", hint="steps=16")
    if along is not None and how != "ig":
        raise MethodError(f"{how} goes along no path", hint='along= is for how="ig"')


def _check_difference(scores: Sequence[Value], sums: Sums) -> None:
    """Raises MethodError where the inputs do not differ in anything that was asked for, nor in the metric."""
    if sums.corrupt == sums.clean and not any(score.array.any() for score in scores):
        raise MethodError(
            "clean and corrupt inputs give the same metric and the same values, so there is nothing to attribute",
            hint="choose inputs between which the behaviour differs",
        )


def _only(found: tuple[Asked, ...]) -> Site:
    if len(found) != 1 or found[0].kept:
        named = ", ".join(str(each.site) for each in found)
        raise MethodError(f"expected one site to go along, got {named}", hint='along="embed:out"')
    return found[0].site
