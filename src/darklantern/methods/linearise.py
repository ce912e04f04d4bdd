"""A model with some of its nonlinearities held at the values that they take in this very run."""

from collections.abc import Collection, Iterable

from darklantern.errors import SiteError
from darklantern.models.edits import stop_gradient
from darklantern.models.on_torch.opened import Model
from darklantern.models.sites import Site

KINDS = ("attention", "norm", "activation")


def linearise(model: Model, freeze: Collection[str]) -> Model:
    """`model`, whose gradients treat what is frozen as constant; its outputs stay bitwise the same.

    - `attention`: every attention pattern. Values still carry gradients, queries and keys do not.
    - `norm`: what every norm divides by.
    - `activation`: each activation's slope, output over input; in gated MLPs the gate's activation itself.

    With all three frozen and no other nonlinearity, the model is affine around each input: the gradient of an
    output holds everywhere, f = J·x + b. Nothing frozen gives attribution patching, all frozen direct effects and
    attribution graphs. Sources: Ameisen et al. 2025, Circuit Tracing; Jafari et al. 2025, RelP.

    Raises SiteError for a kind that the model does not have, or one that is none.
    """
    unknown = sorted(set(freeze) - set(KINDS))
    if unknown:
        raise SiteError(f"cannot freeze {', '.join(unknown)}", hint=f"freeze any of {', '.join(KINDS)}")
    return model.edited({site: stop_gradient() for kind in KINDS if kind in freeze for site in _sites(model, kind)})


def _sites(model: Model, kind: str) -> Iterable[Site]:
    if kind == "attention":
        patterns = _all(model, "pattern", kind)
        seen = {site.path for site in model.sites("**:*") if site.port == "pattern"}
        parts = [site.path for site in model.sites("**:out") if site.path.rpartition(".")[2] in ("attn", "cross_attn")]
        opaque = [path for path in parts if path not in seen]
        if opaque:
            raise SiteError(
                f"{opaque[0]} shows no pattern, so its attention cannot be held constant",
                hint=f"model.sites({opaque[0] + ':*'!r}) lists what it has",
            )
        return patterns
    if kind == "norm":
        return _all(model, "scale", kind)
    posts = _all(model, "post", kind)
    slopes = {model.native(site): site for site in model.sites("**:*") if site.port == "slope"}
    return [slopes.get(model.native(site), site) for site in posts]


def _all(model: Model, port: str, kind: str) -> list[Site]:
    """One site for each module that has `port`: an activation and the MLP around it share theirs."""
    sites = [site for site in model.sites("**:*") if site.port == port]
    if not sites:
        raise SiteError(f"this model has no port {port!r}, so no {kind} to freeze", hint="leave that kind out")
    return list({model.native(site): site for site in reversed(sites)}.values())[::-1]
