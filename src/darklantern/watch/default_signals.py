"""Which signals a watch has when nobody names any: by what the model is and what the trusted examples are.

In: a tap into the model, trusted examples. Out: probes that need no knowledge of the danger, few and small enough to
leave on, and for each that was left out the reason. A default never guesses: what would need to be told is left out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from darklantern.errors import DarkLanternError, SiteError, WatchError
from darklantern.models import shim
from darklantern.watch.attach.tap import Tap
from darklantern.watch.examples import Examples, Reader, trusted_examples
from darklantern.watch.language import DriftProbe, Layout, RowAnomalyProbe, SpanProbe
from darklantern.watch.language.layout import are_bytes
from darklantern.watch.probes import Probe

STREAMS = "layers.*:out"
"""the residual streams of a model whose parts are known"""
LARGEST = 2048
"""numbers that a site may hold for an example, where classes or units are compared in it"""
_HINT = "signals=[...] names them: the tables of darklantern.watch.language, .vision and .policies have what there is"
_NAMED = "knows a class of harm, which you would have to name"
_DEAR = "more rows than looks at 1 % of training time have room for"


@dataclass(frozen=True)
class Choice:
    """The signals that were chosen, and why others were not."""

    probes: tuple[Probe, ...]
    left_out: Mapping[str, str]
    """kind of probe → the reason"""

    def __str__(self) -> str:
        names = ", ".join(signal.name for probe in self.probes for signal in probe.signals)
        why: dict[str, list[str]] = {}
        for kind, reason in self.left_out.items():
            why.setdefault(reason, []).append(kind)
        rest = "; ".join(f"{', '.join(kinds)} ({reason})" for reason, kinds in why.items())
        return f"{names}. Not: {rest}"


def defaults(
    model: Any,
    trusted: Any,
    *,
    state: Any = (),
    layout: Layout | None = None,
    weights: Callable[[Any], Any] | None = None,
    call: Callable[[Any], Any] | None = None,
    batch: Reader | None = None,
    seed: int = 0,
) -> list[Probe]:
    """The signals that a watch has unless it is given others: a list, to add to.

        signals = [*darklantern.watch.defaults(model, rows), PayloadProbe(rows, examples, early, late)]
        w = watch(model, trusted=rows, signals=signals, ...)

    Of token rows: what spans that stand out do, and drift; of images with their classes: what patterns that stand out
    do, and spectral signatures; of states (n, features): what flags decide, and dormant units. `layout` says which
    token ids end a line (`darklantern.watch.language.layout` finds a tokenizer's); without it rows of ids below 256
    that may be text are taken for bytes, and of others no spans are inserted. The rest is as in `watch`; a JAX model
    needs `state`.

    Raises WatchError where nothing fits: then name signals yourself; and where `layout` is given and rows or lines are
    too few or too short for spans to be inserted.
    """
    from darklantern.watch import attach

    return list(
        choose(
            attach.tap(model, state, weights=weights, call=call, batch=batch),
            trusted_examples(trusted, reader=batch),
            layout,
            seed,
        ).probes
    )


def choose(tap: Tap, trusted: Examples, layout: Layout | None = None, seed: int = 0) -> Choice:
    """As `defaults`, with what was left out. Raises WatchError where no internal signal fits."""
    if trusted.are_tokens:
        made, never = _of_language(tap, trusted, layout, seed)
    elif _are_images(trusted):
        made, never = _of_vision(tap, trusted, seed)
    elif trusted.inputs.ndim == 2:
        made, never = _of_policies(tap, trusted, seed)
    else:
        raise WatchError(
            f"there are no default signals for examples {trusted.inputs.shape[1:]} of {trusted.inputs.dtype}"
            f"{' without targets' if trusted.targets is None else ''}",
            hint=f"there are for token rows, images with their classes, and states (n, features); {_HINT}",
        )
    probes, left_out = [], {}
    for kind, make in made.items():
        try:
            probes.append(make())
        except DarkLanternError as error:
            if kind == "span" and layout is not None:
                raise  # who says which token ids end a line wants spans inserted
            left_out[kind] = error.message
    if not any(signal.role == "signal" for probe in probes for signal in probe.signals):
        why = "; ".join(f"{kind}: {reason}" for kind, reason in left_out.items())
        raise WatchError(f"none of the default signals fits this model and these examples: {why}", hint=_HINT)
    return Choice(tuple(probes), left_out | never)


_Made = Mapping[str, Callable[[], Probe]]


def _of_language(tap: Tap, trusted: Examples, layout: Layout | None, seed: int) -> tuple[_Made, dict[str, str]]:
    rows, last = trusted, _last_stream(tap, trusted)
    never = dict.fromkeys(("payload", "trait", "contrast", "refusal", "trigger"), _NAMED)
    never |= dict.fromkeys(("induction", "copying"), "forms in every model that learns language: no danger by itself")
    never |= {"loss covariance": "reads the output alone, and raises no alarm"}
    found: dict[str, Callable[[], Probe]] = {"drift": lambda: DriftProbe(rows, STREAMS, rows=4, seed=seed)}
    if layout is not None or are_bytes(rows.inputs):
        span = {"span": lambda: SpanProbe(rows, contexts=4, seed=seed, site=STREAMS, layout=layout)}
        return span | found, never | {"row anomaly": _DEAR}
    anomaly = {"row anomaly": lambda: RowAnomalyProbe(rows, last, rows=8, fitting=24, seed=seed)}
    return anomaly | found, never | {"span": "nothing says which token ids end a line: defaults(..., layout=) does"}


def _of_vision(tap: Tap, trusted: Examples, seed: int) -> tuple[_Made, dict[str, str]]:
    from darklantern.watch import vision

    site = _last_features(tap, trusted)
    never = {
        "vision.patch": _NAMED,
        "vision.mahalanobis": "its bet needs fitting images that are not among those of the watch's trusted pool",
        **dict.fromkeys(("vision.strip", "vision.clustering", "vision.units"), _DEAR),
        **dict.fromkeys(("vision.drift", "vision.loss"), "harmless data raises it, and each alarm channel costs rate"),
    }
    made: _Made = {
        "vision.mined": lambda: vision.MinedProbe(
            trusted, site, rows=8, fitting=32, patterns=1, placebos=4, spatial=_spatial(trusted), seed=seed
        ),
        "vision.spectral": lambda: vision.SpectralProbe(site, rows=32),
    }
    return made, never


def _of_policies(tap: Tap, trusted: Examples, seed: int) -> tuple[_Made, dict[str, str]]:
    from darklantern.watch import policies

    site = _last_features(tap, trusted)
    never = {
        "policies.audit": "states that are audited are yours to name",
        "policies.reward": "the true reward is yours to name",
        "policies.entropy": "reads the output alone, and raises no alarm",
        "policies.weights": "harmless learning raises it, and each alarm channel costs rate",
        **dict.fromkeys(("policies.fourier", "policies.table"), "is of modular arithmetic"),
    }
    made: _Made = {
        "policies.context": lambda: policies.ContextProbe(trusted, site, rows=32, seed=seed),
        "policies.dormant": lambda: policies.DormantProbe(trusted, site, rows=32, seed=seed),
    }
    return made, never


def _last_stream(tap: Tap, trusted: Examples) -> str:
    try:
        return tap.sites(STREAMS, trusted.inputs[:2, :-1])[-1]
    except SiteError as error:
        raise WatchError(f"no default signals fit this model: {error.message}", hint=_HINT) from error


def _are_images(trusted: Examples) -> bool:
    """Whether inputs have at least two axes besides the examples', and targets are classes."""
    classes = trusted.targets is not None and trusted.targets.ndim == 1 and trusted.targets.dtype.kind in "uib"
    return trusted.inputs.ndim >= 3 and classes


def _spatial(trusted: Examples) -> tuple[int, int]:
    """The axes of an image that say where: the last of three may be its channels."""
    shape = trusted.inputs.shape[1:]
    return (-3, -2) if len(shape) == 3 and shape[-1] <= 4 < shape[0] else (-2, -1)


def _last_features(tap: Tap, trusted: Examples) -> str:
    """The last site that holds other numbers than an output has, and few enough. Raises WatchError if there is none."""
    rows = trusted.inputs[:2]
    ran, failure = False, None
    for site in reversed(tap.sites("**:out", rows)):
        try:
            seen = tap.see(rows, (site,), (), True)
        except DarkLanternError as error:
            failure = error  # a part that does not run, or runs several times; or the model itself
            continue
        ran = True
        held, output = (np.asarray(shim.numbers(each)) for each in (seen.sites[site], seen.output))
        if held.dtype.kind == "f" and held.shape != output.shape and 1 < held[0].size <= LARGEST:
            return site
    if failure is not None and not ran:
        raise failure
    raise WatchError(
        f"no part of this model holds 2 to {LARGEST} numbers for an example, apart from its output", hint=_HINT
    )
