"""trainscope: norms, activations, weights at each step, and its own detector, a CUSUM over the loss; as it comes.

Its documentation has `step` before the optimizer's, so that gradients are as they were taken; here it is called just
after, where AdamW has left gradients as they were and weights are one update on. What it gave is read from its files.
"""

import math
from typing import Any
from urllib.parse import unquote

from trainscope import TrainScope
from trainscope.core.config import TrainScopeConfig
from trainscope.io.writer import read_arrow_rows_sync

from watching.peers.attached import Attached, Loop, by_look
from watching.peers.ran import Given

PACKAGE = "trainscope"
_NAME = "run"
_TINY = 1e-12
_SIZES = ("grad_l2_norm", "weight_l2_norm", "weight_max_abs", "act_std", "act_max_abs")
_PLAIN = ("act_kurtosis",)


class Scope(Attached):
    """A scope on the model."""

    def __init__(self, loop: Loop, sparse: bool) -> None:
        self._every, self._folder = loop.every, loop.folder / _NAME
        paced = {
            name: loop.every
            for name in ("trace_every_n_steps", "activation_metrics_every_n_steps", "histogram_every_n_steps")
        }
        config = TrainScopeConfig(run_dir=str(loop.folder), run_name=_NAME, **(paced if sparse else {}))
        self._scope = TrainScope(loop.model, loop.optimizer, config=config).attach()
        self._alarms: list[int] = []

    def after(self, step: int, loss: float, batch: Any) -> None:
        if self._scope.step(loss, batch_index=step - 1):
            self._alarms.append(step)

    def close(self) -> None:
        self._scope.detach()

    def given(self) -> Given:
        rows = read_arrow_rows_sync(self._folder / "global.arrow")
        steps, losses = by_look(self._every, [row["loss"] for row in rows])
        _, norms = by_look(self._every, [row["grad_norm_before_clip"] for row in rows])
        found = {"loss": losses, "gradient norm": [math.log(norm + _TINY) for norm in norms]}
        for path in sorted((self._folder / "layers").glob("*.arrow")):
            layer, rows = unquote(path.stem), read_arrow_rows_sync(path)
            for name in (*_SIZES, *_PLAIN):
                measured = _filled([row[name] for row in rows])
                if measured is not None:
                    _, means = by_look(self._every, measured)
                    sizes = [math.log(mean + _TINY) for mean in means] if name in _SIZES else means
                    found[f"{layer} {name}"] = sizes
        return Given(steps, found, self._alarms)


def attach(loop: Loop) -> Scope:
    """A scope in its own settings, which look at each step."""
    return Scope(loop, sparse=False)


def attach_sparse(loop: Loop) -> Scope:
    """One that looks at the loop's cadence only."""
    return Scope(loop, sparse=True)


def _filled(values: list[float | None]) -> list[float] | None:
    """Each value, or where it was not measured the one before; None for what never was."""
    out: list[float] = []
    last = next((value for value in values if value is not None), None)
    if last is None:
        return None
    for value in values:
        last = last if value is None else value
        out.append(last)
    return out
