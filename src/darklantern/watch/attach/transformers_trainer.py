"""transformers' Trainer: its batches are seen where it draws them, all those of one update before the first is run.

    w = darklantern.watch(model, trusted=rows, signals=[darklantern.SpanProbe(rows)]).on(trainer)
    trainer.train()

A TrainerCallback is not handed the batch, and gradients are gone when it hears of a step. So `get_batch_samples` of
this one trainer is surrounded: it gives all batches of one update, and counts the tokens by which their loss is
divided, from what the screen leaves. `training_step` and `compute_loss` are surrounded for a batch whose loss must not
count.
"""

import json
import re
import sys
from collections.abc import Callable
from functools import wraps
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darklantern.errors import WatchError
from darklantern.files import write_whole
from darklantern.watch.attach.updates import Given, Updates, Way, begin_at, check_trained, stopped
from darklantern.watch.reactions import Reaction

if TYPE_CHECKING:
    from darklantern.watch.attach.torch_loop import TorchTap
    from darklantern.watch.watching import Watch

_SURROUNDED = ("get_batch_samples", "training_step", "compute_loss")
_IGNORED = -100
"""the label that transformers' losses leave out"""


class _Hooks:
    """What the Trainer calls: a TrainerCallback once `attach` mixed that in, and what surrounds its methods."""

    def __init__(self, watch: "Watch", tap: "TorchTap", trainer: Any) -> None:
        self._watch, self._tap, self._trainer = watch, tap, trainer
        self._updates = Updates(watch, tap)
        self._taken: list[Given] = []
        """those of the update under way that are still to be run"""
        self._void = self._begun = self.over = self._resumed = False
        self._ahead = 0
        """what the watch's count of updates is ahead of the Trainer's"""
        self._tag = ""
        """what to write into the next checkpoint"""

    # what surrounds the Trainer's methods

    def get_batch_samples(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(inner)
        def around(epoch_iterator: Any, num_batches: int, *args: Any, **kwargs: Any) -> Any:
            self._taken = []
            alarms = len(self._watch.alarms)
            for batch in islice(epoch_iterator, num_batches):
                taken = self._updates.take(batch)
                if taken is None:
                    self._stop()
                    return [], None
                self._taken.append(taken)
            if len(self._watch.alarms) > alarms and Reaction.CHECKPOINT in self._watch.asked:
                self._tag = str(self._watch.alarms[-1])
            counted = [each.batch if each.counts else _unlabelled(each.batch) for each in self._taken]
            _, items = inner(iter(counted), len(counted), *args, **kwargs)
            return [each.batch for each in self._taken], items if items is None or items else 1

        return around

    def training_step(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(inner)
        def around(model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            self._void = bool(self._taken) and not self._taken.pop(0).counts
            try:
                return inner(model, inputs, *args, **kwargs)
            finally:
                self._void = False

        return around

    def compute_loss(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(inner)
        def around(*args: Any, **kwargs: Any) -> Any:
            found = inner(*args, **kwargs)
            if not self._void:
                return found
            return (found[0] * 0, *found[1:]) if isinstance(found, tuple) else found * 0

        return around

    # what a TrainerCallback is told

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        check_trained(self._tap, kwargs["model"], "Trainer")
        seen = self._watch.step - self._ahead
        if self._begun and seen != state.global_step:
            raise WatchError(
                f"the Trainer begins at update {state.global_step}, this watch has seen it up to {seen}",
                hint="one watch for one run: make a new one before you train again",
            )
        if not self._begun:
            self._ahead, self._resumed = begin_at(self._watch, state.global_step), state.global_step > 0
        self._begun, self.over = True, False

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not self._updates.taken:
            raise WatchError(
                f"update {state.global_step} of this {type(self._trainer).__name__} began, and none of its batches "
                "came by the watch",
                hint="it draws them by other ways than Trainer.get_batch_samples; call watch.before(batch) and "
                "watch.after() where it does",
            )

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._updates.void:
            kwargs["model"].zero_grad()  # to None, with which an optimizer leaves a parameter, and its moments, alone

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        self._updates.done()
        if self._tag:
            control.should_save = True
        return control

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._tag and args.should_save:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            write_whole(folder / "darklantern.json", json.dumps({"alarm": self._tag}).encode())
        self._tag = ""

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        if control.should_training_stop or state.global_step >= state.max_steps:
            self._finish()  # before the best model so far is loaded in the place of the last
        if self._watch.stopped:
            control.should_save = False  # a checkpoint from after the rise might push out the last clean one
        return control

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not args.load_best_model_at_end:
            self._finish()
        self._watch.left()
        self.over = True

    def _finish(self) -> None:
        if not self._watch.stopped and self._watch.finish() is not Reaction.LOG:
            self._stop()

    def _stop(self) -> None:
        trainer, folder = self._trainer, Path(self._trainer.args.output_dir)
        trainer.control.should_training_stop = True
        stopped(self._watch, self._tap.ranks, folder, trainer.is_world_process_zero(), self._way(folder), self._resumed)

    def _way(self, folder: Path) -> Way:
        if self._watch.alarms:
            clean = self._watch.alarms[-1].clean
            found = None if clean is None else newest(folder, clean.step - self._ahead)
            upto = "no state is known to be clean" if clean is None else f"none up to step {clean.step}"
            note = f"# No clean checkpoint is left in {folder} ({upto}): begin anew."
        else:  # a person stopped it
            found = newest(folder, self._trainer.state.global_step)
            note = f"# No checkpoint is left in {folder}: begin anew."
        if found is None:
            return Way("trainer.train()", (note,), anew=True)
        at, path = found
        return Way(
            f"trainer.train(resume_from_checkpoint={str(path)!r})", step=at + self._ahead if self._ahead else None
        )


def attach(watch: "Watch", tap: "TorchTap", trainer: Any) -> None:
    """Put `watch` in front of each update of `trainer`. Raises WatchError where that could not work."""
    missing = [name for name in (*_SURROUNDED, "add_callback") if not callable(getattr(trainer, name, None))]
    if missing:
        raise WatchError(
            f"this {type(trainer).__name__} has no {', '.join(missing)}", hint="transformers 5.23 is known to fit"
        )
    _detach_ended(trainer)
    if any(name in vars(trainer) for name in _SURROUNDED):
        raise WatchError(
            f"something already surrounds the batches of this {type(trainer).__name__}: a watch, or code of yours",
            hint="one watch takes several probes; attach it before all else, and make a new Trainer after a training "
            "that did not come to its end",
        )
    if trainer.model is not None:
        check_trained(tap, trainer.model, "Trainer")
    tap.barred = "a Trainer's data cannot be rewound"
    base: Any = sys.modules["transformers"].TrainerCallback
    hooks: Any = type("WatchCallback", (_Hooks, base), {})(watch, tap, trainer)
    trainer.add_callback(hooks)
    for name in _SURROUNDED:
        around = getattr(hooks, name)(getattr(trainer, name))
        around.of = hooks
        setattr(trainer, name, around)
    watch.say("no rollback", f"{tap.barred}; an alarm that asks for one stops it, with watch.resume to go on")


def _detach_ended(trainer: Any) -> None:
    """Take off a watch whose training has ended, so that another may come, for a run that goes on or a new one."""
    for hooks in [each for each in trainer.callback_handler.callbacks if isinstance(each, _Hooks) and each.over]:
        if all(getattr(vars(trainer).get(name), "of", None) is hooks for name in _SURROUNDED):
            for name in _SURROUNDED:
                delattr(trainer, name)
            trainer.remove_callback(hooks)


def newest(folder: Path, upto: int) -> tuple[int, Path] | None:
    """The newest of a Trainer's checkpoints in `folder` from after at most `upto` updates, and its updates."""
    found = [
        (int(match[1]), path)
        for path in (folder.iterdir() if folder.is_dir() else ())
        if (match := re.fullmatch(r"checkpoint-(\d+)", path.name)) and (path / "trainer_state.json").is_file()
    ]
    return max(((step, path) for step, path in found if step <= upto), default=None)


def _unlabelled(batch: Any) -> Any:
    """As `batch`, with nothing in it that a loss is divided by."""
    if "labels" not in batch:
        return batch
    return {**batch, "labels": batch["labels"].new_full(batch["labels"].shape, _IGNORED)}
