"""The nonlinearities that RelP holds constant, of those that a model has."""

from darklantern.methods.linearising.freezing import KINDS
from darklantern.models.opened import Model

_PORTS = {"attention": "pattern", "norm": "scale", "activation": "post"}


def kinds_of(model: Model) -> tuple[str, ...]:
    """The kinds of nonlinearity that `model` shows. An attention without a pattern counts: `linearise` refuses it."""
    sites = model.sites("**:*")
    ports = {site.port for site in sites}
    if any(site.path.rpartition(".")[2] in ("attn", "cross_attn") for site in sites):
        ports.add("pattern")
    return tuple(kind for kind in KINDS if _PORTS[kind] in ports)
