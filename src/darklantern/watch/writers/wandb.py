"""Weights & Biases: metrics over a step of their own, alarms in the summary and as alerts."""

from collections.abc import Mapping
from typing import Any

from darklantern.records.findings import Event
from darklantern.watch.writers.writer import Writer, loaded, told

STEP = "watch/step"


class WandB(Writer):
    """Writes to a run of Weights & Biases. `wandb` makes it."""

    what = "the Weights & Biases writer"

    def __init__(self, run: Any, owned: bool, alerts: bool) -> None:
        super().__init__()
        self._run, self._owned, self._alerts = run, owned, alerts
        self._told: list[str] = []
        # A step of our own: wandb's may not go back, and a rollback does.
        run.define_metric(STEP, hidden=True)
        run.define_metric("watch/*", step_metric=STEP)

    def look(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log({STEP: step, **values})

    def event(self, event: Event) -> None:
        self._told.append(told(event))
        self._run.summary["watch/events"] = list(self._told)
        self._run.log({STEP: event.step, f"watch/events/{event.label}": 1})
        if self._alerts and event.label == "alarm":
            self._run.alert(title=f"Dark Lantern: alarm at step {event.step}", text=told(event))

    def close(self) -> None:
        if self._owned and not self.failed:
            self._run.finish()
        super().close()


def wandb(run: Any = None, *, alerts: bool = False, **settings: Any) -> WandB:
    """A writer into `run`, as `wandb.init` gave it, else into the run under way, else into a new one of `settings`.

        w = dl.watch(..., on_look=wandb(project="x", mode="offline"))

    Whatever the run sends elsewhere includes these readings: `mode="offline"` sends nothing. `alerts` has wandb
    notify of alarms. Raises MissingExtraError where wandb is not installed.
    """
    if run is not None:
        return WandB(run, owned=False, alerts=alerts)
    tool = loaded("wandb", "wandb", "Weights & Biases")
    if tool.run is not None and not settings:
        return WandB(tool.run, owned=False, alerts=alerts)
    return WandB(tool.init(**settings), owned=True, alerts=alerts)
