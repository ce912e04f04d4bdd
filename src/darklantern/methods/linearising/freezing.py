"""A model with some of its nonlinearities held at the values that they take in this very run."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import TypeVar

from darklantern.errors import SiteError
from darklantern.methods.linearising.rows import without
from darklantern.methods.opened import check_opened
from darklantern.models.edits import stop_gradient
from darklantern.models.opened import Model
from darklantern.models.sites import Site

Opened = TypeVar("Opened", bound=Model)
KINDS = ("attention", "norm", "activation")


def linearise(model: Opened, freeze: Collection[str]) -> Opened:
    """`model`, whose gradients treat what is frozen as constant; its outputs stay the same, torch's to the bit.

    - `attention`: every attention pattern. Values still carry gradients, queries and keys do not.
    - `norm`: what every norm divides by.
    - `activation`: each activation's slope, output over input; in gated MLPs the gate's activation itself.

    A frozen part still passes gradients on, as the linear map that it is in this run. So what a site does through a
    later layer's values, and through MLPs with their slopes held, counts as its effect, in its own layer too. With all
    three frozen and no other nonlinearity, the model is affine around each input: the gradient of an output holds
    everywhere, f = J·x + b. Attribution graphs are made of such gradients; nothing frozen gives attribution patching.

    For direct logit attribution, which counts no path but the residual stream's own to the logits, take the gradient
    with respect to the last norm's input instead (docs/recipes.md).

    All calls are frozen, of a part that is called several times or computes several of a kind.

    Sources: Ameisen et al. 2025, Circuit Tracing; Jafari et al. 2025, RelP. Raises SiteError for a kind that the model
    does not have, or one that is none, and for an attention that shows no pattern, as in an opaque kernel.
    """
    check_opened(model)
    if isinstance(freeze, str):
        raise SiteError(f"expected a set of kinds to freeze, got the text {freeze!r}", hint=f"{{{freeze!r}}}")
    unknown = sorted(set(freeze) - set(KINDS))
    if unknown:
        raise SiteError(f"cannot freeze {', '.join(map(str, unknown))}", hint=f"freeze any of {', '.join(KINDS)}")
    there = _Sites(model)
    held = [site for kind in KINDS if kind in freeze for site in there.held(kind)]
    return model.edited({replace(site, call="*"): stop_gradient() for site in held})


class _Sites:
    """A model's sites by port, listed once: listing costs as much as the model has modules."""

    def __init__(self, model: Model) -> None:
        self._model = model
        paths: list[str] = []

        def noted(path: str, _: object) -> bool:
            paths.append(path)
            return True

        sites = model.sites("**:*", where=noted)
        self._by_port: dict[str, dict[Site, str]] = {}
        """each with the native path of the module that has the value: an activation and the MLP around it share one"""
        for site, path in zip(sites, paths, strict=True):
            self._by_port.setdefault(site.port, {})[site] = path

    def held(self, kind: str) -> Iterable[Site]:
        """What to hold constant, to freeze `kind`."""
        if kind == "attention":
            return self._patterns()
        if kind == "norm":
            return self._once("scale", kind).values()
        slopes = self._first("slope")
        return [self._slope(slopes.get(path), post) for path, post in self._once("post", kind).items()]

    def _slope(self, slope: Site | None, post: Site) -> Site:
        """What to hold of the activations of one part: their slopes, or, of gated ones, which have none, themselves."""
        if slope is None:
            return post
        counts = [self._model.calls(site) for site in (slope, post)]
        if None not in counts and counts[0] != counts[1]:
            raise SiteError(
                f"{post.path or 'the model'} computes {counts[1]} activations, of which {counts[0]} have a slope to "
                "hold: with a gate and without in one part",
                hint='name a part for each, darklantern.part("gate") in JAX code; or leave activation out',
            )
        return slope

    def _patterns(self) -> Iterable[Site]:
        seen = {site.path for site in self._by_port.get("pattern", ())}
        parts = (site.path for site in self._by_port["out"] if site.path.rpartition(".")[2] in ("attn", "cross_attn"))
        opaque = next((path for path in parts if path not in seen), None)
        if opaque is not None:
            raise _opaque(opaque)
        if pair := without((site for sites in self._by_port.values() for site in sites), "pattern"):
            raise _opaque(pair[0], f", as {pair[1]} does")
        return self._once("pattern", "attention").values()

    def _once(self, port: str, kind: str) -> dict[str, Site]:
        """The sites with `port` by native path: the first of those that share one. Raises SiteError for none."""
        if port not in self._by_port:
            raise SiteError(f"this model has no port {port!r}, so no {kind} to freeze", hint="leave that kind out")
        return self._first(port)

    def _first(self, port: str) -> dict[str, Site]:
        first: dict[str, Site] = {}
        for site, path in self._by_port.get(port, {}).items():
            first.setdefault(path, site)
        return first


def _opaque(path: str, other: str = "") -> SiteError:
    return SiteError(
        f"{path} shows no pattern{other}, so its attention cannot be held constant",
        hint=f"is it computed by an opaque kernel? model.sites({path + ':*'!r}) lists what it has",
    )
