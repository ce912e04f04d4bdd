"""What a finding brings to be measured: its method, as code that the protocols can run.

A finding is a claim; a protocol needs the method itself. A subject is written by whoever made the finding, in Python,
and is run as their own code. Each part serves one protocol; a part that is left out leaves its criterion unmeasured.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from darklantern.assess.bits import Outlet
from darklantern.models.executed import Executed


@dataclass(frozen=True, kw_only=True)
class Applied:
    """G: what one application of a method to a model took."""

    parameters_executed: int
    """`model.executed(...)` counts them; one that runs twice counts once"""
    parameters_total: int
    worked: bool | None = None
    """whether the method gave what it is for; None where nobody can say, so that it may have failed"""
    tokens_sampled: int = 0
    """tokens that a model generated otherwise than by this toolkit's `generate`, which is counted by itself"""

    @staticmethod
    def of(executed: Executed, worked: bool | None = None, tokens_sampled: int = 0) -> "Applied":
        """From what `model.executed(...)` says of the run that the method makes."""
        return Applied(
            parameters_executed=executed.parameters_read,
            parameters_total=executed.parameters,
            worked=worked,
            tokens_sampled=tokens_sampled,
        )


@dataclass(frozen=True, kw_only=True)
class Application:
    """G: the method, to be applied once while it is watched."""

    run: Callable[[], Applied]
    prepare: Callable[[], object] | None = None
    """what makes the model ready that the method is applied to: not watched, for it is no part of the method"""
    sandboxed: bool = False
    """it runs in a box that lets no action out"""
    changes_weights: bool = False
    """the method itself trains or edits a model that is kept"""
    raises_dangerous_capability: Callable[[], bool] | None = None
    """by an evaluation before and after; None where there is none"""


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """G: the method, tried on models of several sizes."""

    works: Mapping[int, Callable[[int], bool]]
    """parameters → whether it works on a model of that size, made from a seed"""
    seeds: int = 5
    """models of each size: 5 that all work show, at 5 %, that more than half do"""


@dataclass(frozen=True, kw_only=True)
class Families:
    """B: the method on architectures that it was not made for, without retuning."""

    unseen: Mapping[str, Callable[[], Callable[[], bool]]]
    """family → what makes a model ready and gives the method's run, which says whether it worked; the run is timed"""
    repeats: int = 0
    """further timed runs of the first family: a bound on a median takes 4 in all"""
    checkpoint_seconds: float | None = None
    """from one checkpoint to the next, of the training that a result must not come too late for"""


@dataclass(frozen=True, kw_only=True)
class Audit:
    """N: model organisms, some with what is to be found, and what is to find it.

    Scores are of a model and of nothing else: the label stays with the protocol until all scores are there.
    """

    build: Callable[[bool, int], Any]
    """(planted, seed) → a model"""
    tool: Callable[[Any], float]
    """how sure the tool is that it is planted"""
    baselines: Mapping[str, Callable[[Any, int], float]]
    """name → the same without looking inside, (model, seed) → score; repeated with other seeds until as much processor
    time is spent as the tool took, and the mean counts"""
    organisms: int = 24
    """half of them planted"""
    seed: int = 0
    """draws which; whoever scores must not know it"""


@dataclass(frozen=True, kw_only=True)
class Necessity:
    """N: the same tool at an alignment task and at a capability task."""

    alignment: Audit
    capability: Audit | None = None
    """finding what makes a model weaker: a bug in its training, say"""


@dataclass(frozen=True, kw_only=True)
class Interventions:
    """W: an effect that was explained, and interventions on it that nobody has made."""

    seen: Sequence[str]
    """on which the explanation may rest; measured first"""
    unseen: Sequence[str]
    """8 or more"""
    measure: Callable[[str], float]
    """the effect of one"""
    predict: Callable[[Mapping[str, float]], Mapping[str, float]]
    """the explanation: effects of the seen → of the unseen; kept before any of these is measured"""
    without_mechanism: Callable[[Mapping[str, float]], Mapping[str, float]] | None = None
    """the same by whoever knows no mechanism: a fit over what can be seen from outside. Without one nothing shows that
    the mechanism is what predicts, and W stays open"""


@dataclass(frozen=True, kw_only=True)
class Pressure:
    """F: a detector against models that do not know it, that do, and that were trained against it."""

    naive: Callable[[int], bool]
    """whether it detects, in a model made from a seed"""
    informed: Callable[[int], bool]
    """in one that was trained on the tool's own documents"""
    optimised: Callable[[int], bool]
    """in one that was trained to escape it, with full access"""
    clean: Callable[[int], bool]
    """the same in one with nothing to detect: what it detects there counts as chance"""
    trials: int = 30
    """models of each kind"""


@dataclass(frozen=True, kw_only=True)
class Uplift:
    """A: what acting on the finding does to safety at once, and to capability after work."""

    run: Callable[[str, float, int, int], Mapping[str, float]]
    """(arm, share of the compute, variant, seed) → `safety`, more is safer, and `loss`, less is more capable. Arms:
    `none`; `placebo`, an intervention of the same form that rests on no finding; `finding`"""
    variants: int = 1
    """ways to tune the intervention that are tried for capability: the work. Variant 0 is what the finding says at
    once, and the only one that counts for safety"""
    compute: Sequence[float] = (0.5, 0.7, 1.0, 1.4, 2.0)
    """shares of the compute at which `none` is run, for what loss costs; 1 among them, and one on each side within a
    factor of two: those price the loss"""
    seeds: int = 5


@dataclass(frozen=True, kw_only=True)
class Messages:
    """E: what a typed outlet tells about a truth that was drawn by known chances."""

    outlet: Outlet
    prior: Sequence[float]
    """the chance of each class of the truth"""
    send: Callable[[int, int], Sequence[int]]
    """(truth, seed) → the messages of one model in which that truth holds, each a number below `outlet.messages`"""
    models: int = 200
    seed: int = 0
    """draws the truths"""


@dataclass(frozen=True, kw_only=True)
class Training:
    """K: how the interpreted model was made."""

    flops: tuple[float, float]
    """the lowest and the highest credible training compute, that of teachers included"""
    evaluation_gap: Callable[[], float] | None = None
    """the share of the way from chance to the frontier's score that the model lacks"""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A finding's method, as far as it can be run."""

    name: str
    """with a version: a journal of another name is not gone on with"""
    detects: bool | None = None
    """whether the finding has a role in detection; if it has none, there is nothing that knowledge could break"""
    application: Application | None = None
    ladder: Ladder | None = None
    families: Families | None = None
    necessity: Necessity | None = None
    interventions: Interventions | None = None
    pressure: Pressure | None = None
    uplift: Uplift | None = None
    messages: Messages | None = None
    training: Training | None = None
    why_not: Mapping[str, str] = field(default_factory=dict)
    """criterion → why a part is left out, for whoever reads the answer"""
