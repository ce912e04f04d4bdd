"""Reading a model through a lens."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from darklantern.errors import MethodError
from darklantern.methods.lenses.fitting import FittedLens, fit_lens
from darklantern.methods.lenses.readings import Reading, log_probabilities, reading
from darklantern.methods.lenses.tails import Tail, placed, tested
from darklantern.methods.lenses.translators import Translators
from darklantern.methods.lenses.views import Lens
from darklantern.methods.making import making
from darklantern.methods.metrics import Token, check_tokens, several, token_number
from darklantern.methods.opened import check_opened
from darklantern.methods.progress import tracked
from darklantern.models.opened import Model
from darklantern.models.shim import without_gradients
from darklantern.models.sites import Site


def lens(
    model: Model,
    inputs: Any,
    how: str | Translators | FittedLens = "logit",
    *,
    fit: Any = None,
    sites: str | Site | Sequence[str | Site] | None = None,
    entrance: str | Site | None = None,
    target: Token | Sequence[Token] | None = None,
    top: int = 5,
    seed: int = 0,
) -> Lens:
    """What the model would say after each of `sites`: its likeliest tokens at each position of one batch of `inputs`.

    `how` each value is read: `logit`, as it is (nostalgebraist 2020); or through what `fit_lens` fitted, a `tuned` or
    a `jacobian` lens, handed over itself (or its `.translators`, or what `load_translators` read), or by that word, to
    be fitted on the batches `fit` first. Values are put in at `entrance`, the last norm's unless another is named, and
    the model's own code goes on from there, caps and scales included. `target`, a token as text or by number, or one an
    example, has its probability and rank told.

    Always tests itself: what goes into the entrance, put in once more, and what the last layer returns, must give the
    model's own logits up to rounding.

    Padding is left out where the inputs are prompts or a batch of them; of plain arrays every position counts. Costs a
    run forward, a start at the last block, and a run from there for each site. Raises SiteError for sites,
    MethodError where a lens would not show what the model says.
    """
    check_opened(model)
    asked = _fitted_sites(how) if sites is None else sites
    entrance = how.place.entrance if entrance is None and isinstance(how, FittedLens) else entrance
    with without_gradients(), making("lens", model, None if fit is None else seed) as under_way:
        under_way.saw(inputs)
        translators = _translators(model, how, fit, asked, entrance, seed)
        under_way.saw("logit" if translators is None else [list(pair) for pair in translators.maps.values()])
        place = placed(model, asked, entrance)
        tail = Tail(model, inputs, place)
        test = tested(tail)
        numbers = None if target is None else _targets(model, target, tail.logits)
        _check_top(top)
        said = log_probabilities(tail.logits)

        def read(logits: Any) -> Reading:
            return reading(logits, said, tail.own, top, numbers)

        found = []
        for site in tracked(place.sites, "reading", len(place.sites)):
            value = tail.recording[site].array
            found.append(read(tail.said(value if translators is None else translators(site, value))))
        own = read(tail.logits)
    name = "logit" if translators is None else translators.how
    prompts = tuple(map(tuple, tail.recording.tokens or ()))
    return Lens(
        name, place.sites, tuple(found), own, test, prompts, _words(model, [*found, own]), made=under_way.made()
    )


def _fitted_sites(how: Any) -> Any:
    held = how.translators if isinstance(how, FittedLens) else how
    return list(held.maps) if isinstance(held, Translators) else "layers.*:out"


def _translators(model: Model, how: Any, fit: Any, sites: Any, entrance: Any, seed: int) -> Translators | None:
    if isinstance(how, FittedLens):
        return how.translators
    if isinstance(how, Translators) or how == "logit":
        if fit is not None:
            raise MethodError("this lens needs no fit, got batches for one", hint="leave fit out")
        return None if how == "logit" else how
    if how not in ("tuned", "jacobian"):
        raise MethodError(
            f"expected a lens, got {how!r:.60}", hint="logit, tuned, jacobian, or what fit_lens(...) returned"
        )
    if fit is None:
        raise MethodError(
            f"a {how} lens has to be fitted on other inputs", hint=f"fit=batches, or fit_lens(model, batches, {how!r})"
        )
    return fit_lens(model, fit, how, sites=sites, entrance=entrance, seed=seed).translators


def _targets(model: Model, target: Token | Sequence[Token], logits: Any) -> list[int]:
    found, count = [token_number(model, each) for each in several(target)], logits.shape[0]
    check_tokens(found, logits.shape[-1])
    if len(found) not in (1, count):
        raise MethodError(f"{len(found)} targets for {count} examples", hint="one for all, or one for each")
    return found


def _check_top(top: int) -> None:
    if top < 1:
        raise MethodError(f"top is how many of the likeliest tokens are kept, got {top}", hint="top=5")


def _words(model: Model, found: Sequence[Reading]) -> dict[int, str]:
    tokenizer: Any = getattr(model, "tokenizer", None)
    seen = {int(token) for each in found for token in np.unique(each.tokens)} - {-1}
    return {token: str(token) if tokenizer is None else tokenizer.decode([token]) for token in sorted(seen)}
