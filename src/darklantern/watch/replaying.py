"""The signals of a watch over a folder of checkpoints, after the fact.

In: a model, its checkpoints, probes, trusted examples. Out: a trace, as a watch leaves one. Each checkpoint's readings
go into a file of their own in a results folder, whole or not at all, under a hash of all that decides them: a replay
that was killed goes on where it was, one that is done repeats nothing. The files hold the readings of held-out
monitors too: keep the folder with those who hold them.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import msgspec
import numpy as np

from darklantern.errors import StoreError, WatchError
from darklantern.files import read_plain, write_whole
from darklantern.models.checkpoints import Checkpoint, checkpoints
from darklantern.records.references import References
from darklantern.watch import attach, collecting, table
from darklantern.watch.attach.tap import Tap
from darklantern.watch.digests import digests, hashed
from darklantern.watch.examples import Examples, Pool, trusted_examples
from darklantern.watch.looking import Looked, Looker
from darklantern.watch.own_signals import as_probes
from darklantern.watch.probes import Now, Probe, Reading
from darklantern.watch.sampling import Sample
from darklantern.watch.settings import Settings
from darklantern.watch.spans import counter
from darklantern.watch.trace import Trace
from darklantern.watch.trained_rows import TrainedRows, wanting

HISTORY = 16
"""checkpoints of whose rows spans are counted"""
LARGEST = 1 << 24
"""bytes of one result that are read"""


class Result(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One checkpoint's readings, as they lie in the results folder."""

    v: Literal[1]
    key: str
    """hash of all that decides them"""
    step: int
    readings: dict[str, tuple[float, float]]
    """signal → value and placebo"""
    drawn: Annotated[int, msgspec.Meta(ge=0)]
    """trusted examples given out up to here"""


class _Put(Protocol):
    def __call__(self, checkpoint: Checkpoint) -> None:
        """Have the tap see this checkpoint."""


@dataclass(frozen=True)
class _Asked:
    """What is replayed over each checkpoint."""

    probes: Sequence[Probe]
    trusted: Examples
    rows: TrainedRows | None
    seed: int


def replay(
    model: Any,
    given: Path | str | Sequence[Path | str],
    signals: Any,
    trusted: Any,
    *,
    folder: Path | str,
    load: Callable[[Path], Any] | None = None,
    state: str = "",
    rows: Callable[[int], Any] | None = None,
    references: References | str | Path | None = None,
    recipe: str = "",
    data: str = "",
    alpha: float = 0.05,
    readout: Callable[..., Any] | None = None,
    weights: Callable[[Any], Any] | None = None,
    call: Callable[[Any], Any] | None = None,
    batch: Callable[[Any], Any] | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Trace:
    """Read `signals` from each checkpoint in `given`, a folder or paths; the trace that a watch would have left.

    Checkpoints are our snapshots, folders of transformers, files of plain tensors, or of `torch.save` with tensors
    alone (`state` names where the weights lie in one that holds several things). `load` reads any other: a path →
    a state dict, and for a JAX model → the training state. `model` is what was trained, with any weights; in torch it
    has its own again afterwards. The first checkpoint is what later ones are held against, as a watch does it before
    its first step, and is no look of its own.

    `rows(step)` are the rows trained on since the checkpoint before, in their order, as the loader yielded them: token
    rows, or images with their targets. Spans are counted in them, and a look's fresh rows are what live they were: the
    batch that came next, which is the first of `rows` of the checkpoint after, as many as a step takes on average. At
    the last checkpoint, after which none are known, they are the newest that were trained on; live a probe of fresh
    rows reads nothing there. Signals that bet stay where they are, and claim no rate: whether the model saw a row
    before is not known here. A probe that `counts_spans` or `takes_fresh` is refused without `rows`.
    `folder` is for results; calling again goes on from them. `references` hold for checkpoints as far apart as the
    looks that they were made from. A user's own probe is known by its settings and by what its signals read: change
    either when its formula changes, or take another folder.

    Raises WatchError for fewer than two checkpoints, and, before any is read, for signals that need `rows` where none
    are given; SnapshotError for a checkpoint that cannot be read, StoreError.
    """
    probes = as_probes(signals)
    wanting(probes, rows)
    found = checkpoints(given)
    if len(found) < 2:
        raise WatchError(
            f"expected at least two checkpoints, got {len(found)}",
            hint="the first is what later ones are held against",
        )
    recipe, data = hashed(recipe), hashed(data)
    held = collecting.load(references) if isinstance(references, str | Path) else references
    every = _apart(found, held)
    known_good = trusted_examples(trusted, reader=batch)
    trained = None if rows is None else TrainedRows(rows, [each.step for each in found], probes, known_good, batch)
    asked = _Asked(probes, known_good, trained, seed)
    known = [signal for probe in probes for signal in probe.signals]
    told = digests(probes, known_good, Settings(history=HISTORY))
    trace = Trace(known, held, recipe, data, alpha, every, told)
    trace.on_ranks(1)
    for signal in known:
        if signal.detector == "betting":
            trace.doubt(signal.name, f"{signal.shown} bets on rows that the model never saw, which no replay can know")
    progress(0, len(found))  # all checkpoints are read once for their hashes before the first is looked at
    results = _Results(Path(folder), asked, found)
    with _standing(model, found, load, state, readout, weights, call, batch) as (tap, put):
        for step, readings in _readings(tap, put, asked, found, results, progress):
            trace.add(step, Looked({name: Reading(*pair) for name, pair in readings.items()}, {}))
    return trace


class _Results:
    """The results folder: what is there is known, what is not is missing."""

    def __init__(self, folder: Path, asked: _Asked, found: Sequence[Checkpoint]) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"cannot make the folder {folder} for results: {error.strerror or error}",
                hint="name one that you may write to",
            ) from error
        self._keys = _keys(asked, found)
        self._found = found
        self._signals = {signal.name for probe in asked.probes for signal in probe.signals}

    def get(self, number: int) -> Result | None:
        """The result of checkpoint `number`, if it is there and whole and of this very replay."""
        try:
            held = msgspec.json.decode(read_plain(self._path(number), LARGEST), type=Result)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        ours = held.key, held.step, set(held.readings)
        return held if ours == (self._keys[number], self._found[number].step, self._signals) else None

    def put(self, number: int, readings: dict[str, tuple[float, float]], drawn: int) -> Result:
        """Write it, whole or not at all."""
        made = Result(1, self._keys[number], self._found[number].step, readings, drawn)
        write_whole(self._path(number), msgspec.json.encode(made, order="deterministic"))
        return made

    def _path(self, number: int) -> Path:
        return self._folder / f"step-{self._found[number].step:09d}-{self._keys[number][:16]}.json"


def _readings(
    tap: Tap,
    put: _Put,
    asked: _Asked,
    found: Sequence[Checkpoint],
    results: _Results,
    progress: Callable[[int, int], None],
) -> Iterator[tuple[int, dict[str, tuple[float, float]]]]:
    """Each checkpoint's readings but the first's; looks only at what is missing, and at what its notes come from."""
    held = {number: results.get(number) for number in range(1, len(found))}
    missing = [number for number, result in held.items() if result is None]
    needed = _needed(asked.probes, missing)
    looker = Looker(tap, asked.probes)
    pool = Pool(asked.trusted, asked.seed)
    rows = asked.rows
    counted = rows is not None and any(probe.counts_spans for probe in asked.probes)
    spans = counter(asked.trusted, HISTORY) if counted else None
    sample = Sample(asked.seed)
    for number, checkpoint in enumerate(found):
        if number and missing and spans is not None and rows is not None:
            sample.clear(found[number - 1].step)
            sample.add(partial(rows.since, number))
            spans.add(sample.rows())
        result = held.get(number)
        if number in needed:
            put(checkpoint)
            fresh = None if rows is None else rows.next(number)
            looked = looker.look(Now(checkpoint.step, pool, fresh, spans))
            if number and result is None:
                readings = {name: (each.value, each.placebo) for name, each in looked.readings.items()}
                result = results.put(number, readings, pool.drawn)
        if result is not None:
            pool.drawn = result.drawn
            yield result.step, result.readings
        progress(number + 1, len(found))


def _needed(probes: Sequence[Probe], missing: Sequence[int]) -> set[int]:
    """Checkpoints to look at: the missing, the first, and those whose notes a missing one's probes want."""
    if not missing:
        return set()
    window = max((probe.window for probe in probes), default=0)
    return {0, *(number for each in missing for number in range(max(0, each - window), each + 1))}


def _keys(asked: _Asked, found: Sequence[Checkpoint]) -> list[str]:
    """Of each checkpoint, a hash of all that decides its readings: its weights, those that came before, the probes."""
    try:
        probes = [
            [type(probe).__qualname__, table.stated(probe), [[s.name, s.reads] for s in probe.signals]]
            for probe in asked.probes
        ]
    except (TypeError, ValueError) as error:
        raise WatchError(
            f"a probe's settings are not JSON values: {error}", hint="its `settings` are texts, numbers, lists, maps"
        ) from error
    base = _digest(json.dumps([version("darklantern"), probes, *_of(asked.trusted), asked.seed]).encode())
    keys: list[str] = []
    for number, checkpoint in enumerate(found):
        rows: Any = ""
        if asked.rows is not None:
            came = asked.rows.since(number) if number else None
            rows = [None if each is None else _of(each) for each in (came, asked.rows.next(number))]
        # A chain: notes, draws and counted spans come from all that was before.
        parts = [keys[-1] if keys else base, checkpoint.step, checkpoint.sha256(), rows]
        keys.append(_digest(json.dumps(parts).encode()))
    return keys


@contextmanager
def _standing(
    model: Any,
    found: Sequence[Checkpoint],
    load: Callable[[Path], Any] | None,
    state: str,
    readout: Any,
    weights: Any,
    call: Any,
    batch: Any,
) -> Iterator[tuple[Tap, _Put]]:
    """A tap into `model`, and how to have it see a checkpoint."""
    if not attach.is_torch(model):
        if load is None:
            raise WatchError(
                f"a checkpoint of {type(model).__name__} can be read by its owner only",
                hint="give load=, a function from a path to the training state",
            )
        reads: Callable[[Path], Any] = load
        tap = attach.tap(model, (reads(found[0].path), None), readout, weights, call, batch)

        def hand_over(checkpoint: Checkpoint) -> None:
            _ = tap.state
            tap.state = reads(checkpoint.path)

        yield tap, hand_over
        return
    from darklantern.models.on_torch import checkpoints as of_torch

    tap = attach.tap(model, (), readout, weights, call, batch)
    module = getattr(model, "_orig_mod", model)

    def put(checkpoint: Checkpoint) -> None:
        tensors = of_torch.weights(checkpoint, state) if load is None else load(checkpoint.path)
        of_torch.put(module, tensors, str(checkpoint.path))

    with of_torch.borrowed(module):
        yield tap, put


def _apart(found: Sequence[Checkpoint], references: References | None) -> int | None:
    """Steps between checkpoints, where references hold for one number of them."""
    gaps = {two.step - one.step for one, two in pairwise(found)}
    if references is not None and references.every is not None and len(gaps) > 1:
        raise WatchError(
            f"the checkpoints stand {min(gaps)} to {max(gaps)} steps apart, the reference runs were looked at every "
            f"{references.every}",
            hint="give those that are as far apart as the looks were, or leave the references out",
        )
    return next(iter(gaps)) if len(gaps) == 1 else None


def _of(examples: Examples) -> list[Any]:
    """What tells examples from others."""
    inputs = np.ascontiguousarray(examples.tokens if examples.are_tokens else examples.inputs)
    targets = "" if examples.targets is None else _digest(np.ascontiguousarray(examples.targets).tobytes())
    return [[_digest(inputs.tobytes()), list(inputs.shape)], targets]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
