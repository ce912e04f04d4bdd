"""`watch.look`: an alarm's readings, from the weights that were kept. All that comes in is a peer's."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from darklantern.errors import DarkLanternError, RecipeError
from darklantern.records.findings import Json

if TYPE_CHECKING:
    from darklantern.watch.examples import Examples
    from darklantern.watch.probes import Probe

TOLERANCE = 0.02
WORK = 10**12
"""multiply-adds that a peer's recipe may ask for: minutes of one core"""
MOST_PROBES = 32
Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Token = Annotated[int, msgspec.Meta(ge=0, le=0x10FFFF)]


class Tested(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a probe asked of the counter of spans, and the answer."""

    count: Count
    looks: Count
    least: float
    spans: Annotated[list[Annotated[list[Token], msgspec.Meta(max_length=256)]], msgspec.Meta(max_length=256)]


class Described(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A probe by name and settings."""

    probe: str
    settings: dict[str, Json]


class LookArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of `watch.look`."""

    kind: str
    probes: Annotated[list[Described], msgspec.Meta(min_length=1, max_length=MOST_PROBES)]
    spans: list[Tested] | None
    step: Count
    seed: Count


def look(arguments: Mapping[str, Json], artifacts: Mapping[str, bytes]) -> dict[str, float]:
    """Read the probes again on the weights in artifact `model`, held against those in `first`."""
    from darklantern.models.shim import one_thread
    from darklantern.watch import filing, monitors, table
    from darklantern.watch.looking_again import look_again

    asked = _arguments(arguments)
    missing = [role for role in ("model", "first", "trusted") if role not in artifacts]
    if missing:
        raise RecipeError(f"watch.look needs an artifact as {missing[0]!r}", hint="the recipe is incomplete")
    loads = MODELS.get(asked.kind)
    if loads is None:
        raise RecipeError(
            f"models of kind {asked.kind!r} are not in the local table",
            hint=f"this version knows: {', '.join(MODELS)}; a newer darklantern may know more",
        )
    inputs = monitors.of_npy(artifacts["trusted"], "trusted")
    targets = artifacts.get("trusted targets")
    trusted = _examples(inputs, None if targets is None else monitors.of_npy(targets, "trusted targets"))
    probes = [table.made(each.probe, each.settings, trusted) for each in asked.probes]
    first, model = loads(artifacts["first"]), loads(artifacts["model"])
    tested = None if asked.spans is None else [msgspec.to_builtins(each) for each in asked.spans]
    _check_work(probes, trusted, tested, artifacts["model"], asked)
    try:
        with one_thread():
            found = look_again(first, model, probes, trusted, tested, step=asked.step, seed=asked.seed)
    except DarkLanternError as error:
        raise _refused(error.message) from error
    units = {signal.name: signal.unit for probe in probes for signal in probe.signals}
    return {
        figure.name: figure.value
        for name, reading in found.items()
        for figure in filing.readings_figures(name, units[name], reading)
    }


def _bytelm(data: bytes) -> Any:
    from darklantern.organisms.bytelm import loads

    return loads(data)


MODELS: Mapping[str, Callable[[bytes], Any]] = {"ByteLM": _bytelm}
"""kind → how its weights become a model: no code, no pickle"""


def _examples(inputs: Any, targets: Any) -> "Examples":
    from darklantern.errors import WatchError
    from darklantern.watch.examples import Examples, examples

    try:
        return examples(Examples(inputs, targets), "trusted examples")
    except WatchError as error:
        raise _refused(error.message) from error


def _arguments(arguments: Mapping[str, Json]) -> LookArguments:
    try:
        return msgspec.convert(arguments, LookArguments)
    except msgspec.ValidationError as error:
        raise _refused(str(error)) from error


def _check_work(
    probes: Sequence["Probe"], trusted: "Examples", tested: Any, weights: bytes, asked: LookArguments
) -> None:
    """Refuse what keeps this machine busy: every weight is used once for each token of each row, twice over."""
    from darklantern.watch.examples import Pool
    from darklantern.watch.looking_again import GivenSpans
    from darklantern.watch.probes import Now

    spans: Any = None if tested is None else GivenSpans(tested)
    tokens = 0
    for probe in probes:
        try:
            rows = probe.inputs(Now(asked.step, Pool(trusted, asked.seed), None, spans)).inputs
        except DarkLanternError as error:
            raise _refused(error.message) from error
        tokens += 0 if rows is None else rows.size
    if tokens * len(weights) / 2 > WORK:
        raise _refused(f"it asks for {tokens * len(weights) / 2:.1g} multiply-adds")


def _refused(why: str) -> RecipeError:
    return RecipeError(
        f"watch.look refuses its arguments: {why}", hint="the recipe was altered or is of another version"
    )
