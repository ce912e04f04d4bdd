"""MLflow: metrics at their steps, alarms as a text file of the run."""

from collections.abc import Mapping
from typing import Any

from darklantern.records.findings import Event
from darklantern.watch.writers.writer import Writer, loaded, plain, told

FILE = "watch/events.txt"


class MLflow(Writer):
    """Writes to a run of MLflow. `mlflow` makes it."""

    what = "the MLflow writer"

    def __init__(self, client: Any, run: str, owned: bool) -> None:
        super().__init__()
        self._client, self._id, self._owned = client, run, owned
        self._told: list[str] = []
        self._new = False

    def look(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._client.log_metric(self._id, name, value, step=step, synchronous=True)

    def event(self, event: Event) -> None:
        self._told.append(told(event))
        self._new = True
        self._client.log_metric(self._id, f"watch/events/{plain(event.label)}", 1.0, step=event.step, synchronous=True)

    def flush(self) -> None:
        if self._new:
            self._client.log_text(self._id, "\n".join(self._told) + "\n", FILE)
            self._new = False

    def close(self) -> None:
        if self._owned and not self.failed:
            self._client.set_terminated(self._id)
        super().close()


def mlflow(run: str = "", *, store: str | None = None, experiment: str = "darklantern") -> MLflow:
    """A writer into the run of that id, else into the one under way, else into a new one of `experiment`.

        w = dl.watch(..., on_look=mlflow(store="sqlite:///runs.db"))

    `store` is MLflow's tracking address: a database (which takes SQLAlchemy besides), a server, or, where
    MLFLOW_ALLOW_FILE_STORE is set, a folder. Readings go wherever that is.
    Raises MissingExtraError where mlflow is not installed.
    """
    tool = loaded("mlflow", "mlflow-skinny", "MLflow")
    client = tool.MlflowClient(tracking_uri=store)
    active = tool.active_run()
    if run or (active is not None and store is None):
        return MLflow(client, run or active.info.run_id, owned=False)
    found = client.get_experiment_by_name(experiment)
    number = found.experiment_id if found is not None else client.create_experiment(experiment)
    return MLflow(client, client.create_run(number).info.run_id, owned=True)
