"""`attribute`: gradients times steps, at any sites."""

from collections.abc import Sequence
from typing import Any, Final

from darklantern.errors import MethodError
from darklantern.methods.attribution.asked import Asked, Rows, row
from darklantern.methods.attribution.attribution import Attribution, Way
from darklantern.methods.attribution.exact import Exact
from darklantern.methods.attribution.frozen import held
from darklantern.methods.attribution.integrating import integrated
from darklantern.methods.attribution.points import gauss_legendre
from darklantern.methods.making import making
from darklantern.methods.metrics import Metric, bound
from darklantern.methods.opened import check_opened
from darklantern.methods.patching.pairing import paired
from darklantern.models.opened import Model
from darklantern.models.recording import Recording
from darklantern.models.sites import Site

NAMES: Final = {
    "gradient": "gradient × input",
    "ig": "integrated gradients",
    "patching": "attribution patching",
    "relp": "RelP",
}


def attribute(
    model: Model,
    clean: Any,
    corrupt: Any,
    sites: str | Site | Sequence[str | Site],
    metric: Metric,
    how: str = "relp",
    *,
    steps: int = 16,
    along: str | Site | None = None,
) -> Attribution:
    """How much each of `sites` contributes to what `metric` gains from the corrupt inputs to the clean ones.

    Axes that a site pins to `*` are told apart, all others are summed: `layers.*.attn:z[head=*]` gives heads,
    `embed:out[pos=*]` tokens, `layers.*.mlp:neurons[neuron=*]` neurons, without a `*` each site is one number. Scores
    are in the metric's unit and, of sites through which everything passes, add up to its gain, to first order.

    - `patching`: gradient on the corrupt inputs times the step to the clean ones. Two runs and a backward pass for all
      sites together. What an exact patch does, where the model is linear. Source: Nanda 2023, Attribution patching.
    - `relp`: the same with attention patterns, norms' denominators and activations' slopes held, as far as the model
      has them: nearer to exact patches through norms and MLPs. Same cost. Source: Jafari et al. 2025.
    - `ig`: the gradient's mean over the straight path between both, at `steps` points of Gauss and Legendre. The path
      is each site's own, and the other sites follow: `steps` runs a site, and its numbers add up to the effect of
      patching the site as a whole, up to the completeness error, which is always told. With `along`, a site such as
      `embed:out`, there is one path for all, that of EAP-IG: `steps` runs in all. Sources: Sundararajan et al. 2017;
      Hanna et al. 2024.
    - `gradient`: gradient times value on the clean inputs; `corrupt` is None. A run and a backward pass.

    With `corrupt=None`, `ig` begins at 0, and so do `patching` and `relp`: they tell what zero ablation would. Inputs
    must be aligned; prompts given as text are checked. The metric must be differentiable: torch's or JAX's operations
    on the output. Memory does not grow with `steps`.

    Raises MethodError for what does not go together, SiteError for sites, and for a metric without a gradient.
    """
    check_opened(model)
    if how not in NAMES:
        raise MethodError(f"how={how!r}", hint=f"one of {', '.join(NAMES)}")
    if how == "gradient" and corrupt is not None:
        raise MethodError("gradient × input takes no corrupt inputs", hint='corrupt=None, or how="patching"')
    if along is not None and how != "ig":
        raise MethodError(f"along={along!s} is for the path of how='ig', got how={how!r}", hint="leave it out")
    names = [sites] if isinstance(sites, str | Site) else list(sites)
    if not names:
        raise MethodError("expected at least one site, got none", hint='"layers.*.attn:z[head=*]"')
    with making(f"attribute, {NAMES[how]}", model) as under_way:
        under_way.saw(clean, corrupt)
        clean, other = (clean, None) if corrupt is None else paired(model, clean, corrupt)
        asked = Asked(model, clean, other, metric, tuple(dict.fromkeys(s for n in names for s in model.plan(n).sites)))
        if how == "ig":
            rows, way = integrated(asked, gauss_legendre(steps), along)
        else:
            rows, way = _once(asked, how)
    exact = Exact(model, clean, other, metric)
    return Attribution(scores=Recording(rows, None, asked.tokens), way=way, exact=exact, made=under_way.made())


def _once(asked: Asked, how: str) -> tuple[Rows, Way]:
    """By one gradient for all sites."""
    model, kinds, missing = held(asked.model) if how == "relp" else (asked.model, (), {})
    found = model.gradient(asked.base, bound(asked.metric, asked.model, asked.base), *asked.sites)
    source, high = asked.ends(*asked.sites) if asked.corrupt is not None else (None, found.metric)
    rows: Rows = []
    for site in asked.sites:
        value = found.values[site]
        step = value if source is None else source[site] - value
        rows.append(row(site, found.gradients[site] * step))
    low = None if asked.corrupt is None else found.metric
    return rows, Way(NAMES[how], high, low, frozen=kinds, missing=missing)
