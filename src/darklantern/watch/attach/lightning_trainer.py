"""Lightning's Trainer, under both its names: each batch is seen once it lies on the device, before it is run.

    w = darklantern.watch(module.model, trusted=rows, signals=[darklantern.SpanProbe(rows)]).on(trainer)
    trainer.fit(module, loader)

A Callback hears of a batch and cannot change it, nor keep it from being run. So `on_train_batch_start` of the one
LightningModule that is fitted is surrounded, whose −1 ends the epoch before the batch is run, and `training_step`,
which is given what the screen leaves of the batch.
"""

import json
import re
import sys
from collections.abc import Callable
from fractions import Fraction
from functools import wraps
from math import floor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darklantern.errors import WatchError
from darklantern.files import write_whole
from darklantern.watch.attach.updates import Given, Updates, Way, begin_at, check_trained, stopped
from darklantern.watch.reactions import Reaction

if TYPE_CHECKING:
    from darklantern.watch.attach.torch_loop import TorchTap
    from darklantern.watch.watching import Watch

_SURROUNDED = ("on_train_batch_start", "training_step")
_SKIP = -1
"""what `on_train_batch_start` returns to end the epoch at once"""


class _Hooks:
    """What the Trainer calls: a Callback once `attach` mixed that in, and what surrounds the module's methods."""

    def __init__(self, watch: "Watch", tap: "TorchTap") -> None:
        self._watch, self._tap = watch, tap
        self._updates = Updates(watch, tap)
        self._taken: Given | None = None
        self._made = 0
        """updates by the Trainer's own count, which counts each optimizer's"""
        self._counts: dict[int, int] = {}
        """updates by the watch's count → by the Trainer's, where a look is due"""
        self.saved: dict[Path, int] = {}
        """whole checkpoints of this run → updates before them, by the Trainer's count"""
        self._steps: dict[Path, int] = {}
        """the same by the watch's"""
        self._began = (0, 0)
        """the watch's count and the Trainer's where this watch began"""
        self._begun = self._resumed = self._asked = False

    # what surrounds methods

    def starting(self, inner: Callable[..., Any], trainer: Any) -> Callable[..., Any]:
        @wraps(inner)
        def around(batch: Any, *args: Any) -> Any:
            said = inner(batch, *args)
            if said == _SKIP:
                return said
            if not self._counts or self._watch.cadence.due(self._watch.step):
                self._counts[self._watch.step] = trainer.global_step
            alarms = len(self._watch.alarms)
            self._taken = self._updates.take(batch)
            if self._taken is None:
                self._stop(trainer)
                return _SKIP
            if len(self._watch.alarms) > alarms and Reaction.CHECKPOINT in self._watch.asked:
                self._checkpoint(trainer)
            return said

        return around

    def stepping(self, inner: Callable[..., Any], trainer: Any) -> Callable[..., Any]:
        @wraps(inner)
        def around(*args: Any, **kwargs: Any) -> Any:
            if self._taken is None or not args:
                raise WatchError(
                    "a batch came to training_step that did not come by the watch",
                    hint="training_step(self, batch, batch_idx) is watched; one that takes dataloader_iter draws its "
                    "own batches: call watch.before(batch) and watch.after() there",
                )
            found = inner(self._taken.batch, *args[1:], **kwargs)
            return found if self._taken.counts else _zero(found)

        return around

    def saving(self, inner: Callable[..., Any], trainer: Any) -> Callable[..., Any]:
        @wraps(inner)
        def around(filepath: Any, weights_only: Any = None, *args: Any, **kwargs: Any) -> Any:
            given = inner(filepath, weights_only, *args, **kwargs)
            if not weights_only:
                self.saved[Path(filepath)] = trainer.global_step
                made = trainer.global_step > self._made  # an update of which this callback has not heard yet
                self._steps[Path(filepath)] = self._watch.step + made
            return given

        return around

    # what a Callback is told

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        check_trained(self._tap, pl_module, "Trainer")
        if self._begun and self._made != trainer.global_step:
            raise WatchError(
                f"the Trainer begins at update {trainer.global_step}, this watch has seen it up to {self._made}",
                hint="one watch for one run: make a new one before you fit again",
            )
        if not self._begun:
            begin_at(self._watch, trainer.global_step)
            self._began = self._watch.step, trainer.global_step
            self._resumed = trainer.global_step > 0
            if self._resumed and trainer.ckpt_path:
                path = Path(trainer.ckpt_path).resolve()  # as a ModelCheckpoint names its own
                self._steps[path], self.saved[path] = self._began
        self._begun, self._made = True, trainer.global_step
        for name, around in zip(_SURROUNDED, (self.starting, self.stepping), strict=True):
            # not setattr: a torch module would look into what it is given
            vars(pl_module)[name] = around(getattr(pl_module, name), trainer)

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        if pl_module.automatic_optimization and self._updates.void:
            optimizer.zero_grad()  # to None, with which an optimizer leaves a parameter, and its moments, alone

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        self._taken = None
        self._watch.ran()
        if trainer.global_step > self._made:
            self._made = trainer.global_step
            self._updates.done()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self._counts[self._watch.step] = trainer.global_step
        if not self._watch.stopped and self._watch.finish() is not Reaction.LOG:
            self._stop(trainer)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        for name in _SURROUNDED:
            vars(pl_module).pop(name, None)
        if stage == "fit":
            if self._asked:
                self._say(trainer)
            self._watch.left()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self.teardown(trainer, pl_module, "fit")

    def _checkpoint(self, trainer: Any) -> None:
        path = Path(trainer.default_root_dir) / f"alarm-step={trainer.global_step}.ckpt"
        trainer.save_checkpoint(path)
        if trainer.is_global_zero:
            write_whole(path.with_suffix(".json"), json.dumps({"alarm": str(self._watch.alarms[-1])}).encode())

    def _stop(self, trainer: Any) -> None:
        trainer.should_stop = True
        if self._watch.alarms:
            self._say(trainer)
        else:  # a person asked: a checkpoint that the epoch's end still writes is one to go on from
            self._asked = True

    def _say(self, trainer: Any) -> None:
        self._asked = False
        folder, way = Path(trainer.default_root_dir), self._way(trainer)
        stopped(self._watch, self._tap.ranks, folder, trainer.is_global_zero, way, self._resumed)

    def _way(self, trainer: Any) -> Way:
        known = self._known(trainer)
        if self._watch.alarms:
            clean = self._watch.alarms[-1].clean
            found = None if clean is None else newest(known, self._counts.get(clean.step, clean.step))
            upto = "no state is known to be clean" if clean is None else f"none up to step {clean.step}"
            note = f"# No clean checkpoint is left ({upto}): begin anew."
        else:  # a person stopped it
            found = newest(known, trainer.global_step)
            note = "# No checkpoint is left: begin anew."
        if found is None:
            return Way("trainer.fit(module, loader)", (note,), anew=True)
        notes = ["# The loader has no state_dict: the epoch's data will begin anew. darklantern.rewindable has one."]
        if all(callable(getattr(each, "load_state_dict", None)) for each in _loaders(trainer)):
            notes = []
        step = self._step(found, known[found], trainer)
        apart = step if step != known[found] else None
        return Way(f"trainer.fit(module, loader, ckpt_path={str(found)!r})", tuple(notes), step=apart)

    def _step(self, path: Path, updates: int, trainer: Any) -> int:
        """The watch's count at the checkpoint from after `updates` by the Trainer's.

        Of an earlier process nobody noted it: it is told from how many updates one step of the watch has had in this.
        """
        if path in self._steps:
            return self._steps[path]
        began, began_theirs = self._began
        made, made_theirs = self._watch.step - began, trainer.global_step - began_theirs
        pace = Fraction(made_theirs, made) if made else Fraction(max(len(trainer.optimizers), 1))
        return began - floor((began_theirs - updates) / pace)

    def _known(self, trainer: Any) -> dict[Path, int]:
        """Whole checkpoints that are still there; those of an earlier run by their names."""
        folders = {
            Path(each.dirpath) for each in getattr(trainer, "checkpoint_callbacks", ()) if getattr(each, "dirpath", "")
        }
        named = {
            path: int(match[1])
            for folder in folders
            for path in folder.glob("*.ckpt")
            if (match := re.search(r"(?:^|-)step=(\d+)", path.name))
        }
        return {path: step for path, step in {**named, **self.saved}.items() if path.exists()}


def attach(watch: "Watch", tap: "TorchTap", trainer: Any) -> None:
    """Put `watch` in front of each batch that `trainer` fits. Raises WatchError where that could not work."""
    package = next(
        name
        for kind in type(trainer).__mro__
        for name in ("lightning.pytorch", "pytorch_lightning")
        if kind.__module__.startswith(f"{name}.")
    )
    if any(isinstance(each, _Hooks) for each in trainer.callbacks):
        raise WatchError(
            "this Trainer is watched already",
            hint="one watch takes several probes; for another training make a new Trainer",
        )
    base: Any = sys.modules[package].Callback
    hooks: Any = type("WatchCallback", (_Hooks, base), {})(watch, tap)
    trainer.callbacks.append(hooks)
    trainer.save_checkpoint = hooks.saving(trainer.save_checkpoint, trainer)
    tap.barred = "a Trainer's data cannot be rewound"
    watch.say("no rollback", f"{tap.barred}; an alarm that asks for one stops it, with watch.resume to go on")


def newest(saved: dict[Path, int], upto: int) -> Path | None:
    """The newest checkpoint from after at most `upto` updates."""
    fitting = [(step, path) for path, step in saved.items() if step <= upto]
    return max(fitting, default=(0, None))[1]


def _loaders(trainer: Any) -> list[Any]:
    found = trainer.train_dataloader
    return list(found) if isinstance(found, list | tuple) else [found]


def _zero(found: Any) -> Any:
    """What training_step returned, with a loss of zero."""
    if found is None:
        return None
    if isinstance(found, dict):
        return {**found, "loss": found["loss"] * 0} if "loss" in found else found
    return found * 0
