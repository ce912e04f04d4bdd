"""An opened model as methods see it: what the engine of every framework offers by the same words.

`on_torch` and `on_jax` each have a Model and a Start that fit here. A method is written against these, `edits`,
`recording` and `shim`, and runs on both.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, Self, runtime_checkable

from darklantern.errors import SiteError
from darklantern.models.gradients import Gradients
from darklantern.models.keeping import Reduce
from darklantern.models.recording import Recording
from darklantern.models.sites import Site
from darklantern.models.tokens import Batch

Edits = Mapping[str | Site, Any]
"""at each site an edit, a function from value to value, or a list of them"""


class Plan(Protocol):
    """What was asked for, resolved: prints what a run would do."""

    @property
    def sites(self) -> Sequence[Site]:
        """The sites to record."""
        ...


class Start(Protocol):
    """The entrance of a block, which `run` and `record` take in place of inputs."""

    @property
    def path(self) -> str:
        """The block's."""
        ...

    @property
    def output(self) -> Any:
        """What the whole model returned on the inputs that it was taken on."""
        ...


class Patches(Protocol):
    """Runs in which sites hold what they held in a recording, several as one."""

    def outputs(self, inputs: Any, cells: Sequence[Site], examples: int) -> Iterator[Any]:
        """What the model returns with each of `cells` changed, one at a time, in their order.

        `examples` is how many the values there have, 0 for an unknown number.
        """
        ...


@runtime_checkable
class Model(Protocol):
    """An opened model. What each member promises stands at the engines' own."""

    @property
    def framework(self) -> str:
        """torch or jax: whose arrays go in and come out."""
        ...

    @property
    def standing(self) -> tuple[str, ...]:
        """The edits in place in all that is done with it, as text."""
        ...

    def hash_later(self) -> Callable[[], str]:
        """What hashes the weights as they are now; raises SiteError where they have changed by then."""
        ...

    # what there is

    def sites(self, pattern: str | Site = ..., where: Callable[[str, Any], bool] | None = ...) -> list[Site]:
        """`where` is given the native path of the part that has the value, and what the engine knows of it."""
        ...

    def native(self, site: str | Site) -> str: ...

    def has(self, path: str) -> bool: ...

    def block_of(self, site: str | Site) -> str | None: ...

    def calls(self, site: str | Site) -> int | None:
        """How often a site fires in one run; None where only a run tells."""
        ...

    def batch(self, prompts: str | Sequence[str], align: str | Sequence[str] | None = ...) -> Batch: ...

    # what is asked for

    def plan(
        self, *record: str | Site, edits: Edits | None = ..., stop: bool = ..., grad: Sequence[str | Site] = ...
    ) -> Plan: ...

    def edited(self, edits: Edits) -> Self: ...

    # runs

    def record(
        self, inputs: Any, *sites: str | Site, edits: Edits | None = ..., stop: bool = ..., reduce: Reduce | None = ...
    ) -> Recording: ...

    def run(self, inputs: Any, edits: Edits | None = ...) -> Any: ...

    def gradient(
        self, inputs: Any, metric: Callable[[Any], Any], *sites: str | Site, edits: Edits | None = ...
    ) -> Gradients: ...

    def vjp(
        self, inputs: Any, cotangents: Mapping[str | Site, Any], *sites: str | Site, edits: Edits | None = ...
    ) -> Gradients: ...

    def jvp(
        self, inputs: Any, tangents: Mapping[str | Site, Any], *sites: str | Site, edits: Edits | None = ...
    ) -> Recording: ...

    def rerun(self, inputs: Any, output: Any) -> tuple[Any, bool] | None:
        """What another run returns, and whether that is `output` up to rounding; None where every run returns that."""
        ...

    # parts of runs

    def start(self, inputs: Any, block: str) -> Start: ...

    def starts(self, inputs: Any, *blocks: str) -> Sequence[Start | SiteError]: ...

    def handed_on(self, inputs: Any, recording: Recording, pairs: Mapping[Site, Site]) -> dict[Site, Site]:
        """Of blocks' outputs and the next blocks' entrances, those that are one value, which nothing else reads."""
        ...

    def patches(self, source: Recording, at_once: int = ...) -> Patches: ...
