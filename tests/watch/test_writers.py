"""What other tools are told, read back with each tool's own reader."""

import json
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
from watch.loops import Scripted, parts, run, start

from darklantern.errors import MissingExtraError
from darklantern.watch import Reaction, Reading, Signal, held_out
from darklantern.watch.writers import mlflow, tensorboard, wandb
from darklantern.watch.writers import writer as shared

NAME = "payload lens <script>"
PLAIN = "payload lens _script_"
SECRET = "what nobody may see"


class Two(Scripted):
    """One signal with a name that no tool takes, which rises at look 7, and one that is held out."""

    signals = (Signal(NAME, "I1", "signal", "nats", "x"),)

    def read(self, seen):
        (reading,) = super().read(seen)
        return (Reading(reading.value, 0.25),)


class Secret(Scripted):
    signals = (Signal(SECRET, "I0", "signal", "", "x"),)


def told(onlooker):
    """A run with a rollback: its look steps, in order, and the watch."""
    quiet = Scripted(lambda look: 0.0)
    quiet.signals = (Signal(SECRET, "I0", "signal", "", "x"),)
    probe = Two(lambda look: 0.1 * (look % 2) if look < 7 else 50.0, signals=Two.signals)
    w, loop = start(
        probe,
        lambda alarm: Reaction.ROLL_BACK,
        references=None,
        of=parts(),
        rollbacks=1,
        also=[held_out(quiet)],
        on_look=onlooker,
    )
    run(w, loop)
    assert [event.label for event in w.events] == ["uncalibrated", "alarm", "rollback", "alarm", "stop"]
    return w, [past.step for past in w.trace.past]


@pytest.mark.slow
def test_tensorboard_reads_every_look_again_and_texts_as_blocks_of_code(tmp_path) -> None:
    pytest.importorskip("tensorboard", reason="pip install tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with tensorboard(tmp_path) as onlooker:
        w, steps = told(onlooker)
    found = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0, "tensors": 0}, purge_orphaned_data=False)
    found.Reload()
    scalars = found.Scalars(f"watch/{PLAIN}/value")
    assert [event.step for event in scalars] == steps
    assert [event.value for event in scalars] == pytest.approx([p.readings[NAME].value for p in w.trace.past], rel=1e-6)
    assert {event.value for event in found.Scalars(f"watch/{PLAIN}/placebo")} == {0.25}
    assert found.Scalars(f"watch/{PLAIN}/threshold")[0].value == pytest.approx(w.trace.limits["joint"].value)
    texts = found.Tensors("watch/alarm/text_summary")
    assert [event.step for event in texts] == [w.alarms[0].step, w.alarms[1].step]
    assert texts[0].tensor_proto.string_val[0].startswith(b"    step ")
    assert SECRET not in repr(found.Tags())


@pytest.mark.slow
def test_wandb_offline_holds_every_look_under_a_step_of_its_own(tmp_path, monkeypatch) -> None:
    tool = pytest.importorskip("wandb", reason="pip install wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    with wandb(project="x", mode="offline", dir=str(tmp_path)) as onlooker:
        w, steps = told(onlooker)
    tool.teardown()  # its service has written everything when it has ended
    (path,) = tmp_path.rglob("run-*.wandb")
    rows, summary = [], {}
    for record in _records(path):
        if record.WhichOneof("record_type") == "history":
            rows.append({"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in record.history.item})
        for item in record.summary.update:
            summary["/".join(item.nested_key) or item.key] = item.value_json
    values = [row for row in rows if f"watch/{PLAIN}/value" in row]
    assert [row["watch/step"] for row in values] == steps, "also those that come again after the rollback"
    assert [row[f"watch/{PLAIN}/value"] for row in values] == [p.readings[NAME].value for p in w.trace.past]
    assert [row["watch/step"] for row in rows if "watch/events/alarm" in row] == [a.step for a in w.alarms]
    assert "alarm: " in summary["watch/events"]
    assert SECRET.encode() not in path.read_bytes()


def _records(path):
    """wandb's own messages in its offline file, a log of LevelDB's kind: blocks of 32 KiB, 7 bytes before each part."""
    from wandb.proto import wandb_internal_pb2

    data, at, whole = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


@pytest.mark.slow
def test_mlflow_reads_every_look_again_and_the_events_as_a_file(tmp_path, monkeypatch) -> None:
    tool = pytest.importorskip("mlflow", reason="pip install mlflow-skinny")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # a database takes SQLAlchemy besides
    store = f"file://{tmp_path}/runs"
    with mlflow(store=store) as onlooker:
        w, steps = told(onlooker)
    client = tool.MlflowClient(tracking_uri=store)
    (found,) = client.search_runs([client.get_experiment_by_name("darklantern").experiment_id])
    history = client.get_metric_history(found.info.run_id, f"watch/{PLAIN}/value")
    expected = sorted((past.step, past.readings[NAME].value) for past in w.trace.past)
    assert sorted((metric.step, metric.value) for metric in history) == expected
    assert found.info.status == "FINISHED"
    text = Path(client.download_artifacts(found.info.run_id, "watch/events.txt", str(tmp_path))).read_text()
    assert text.count(", alarm: ") == len(w.alarms)
    assert SECRET not in repr(found.data.metrics) + text


@pytest.mark.parametrize(
    ("module", "make"),
    [("torch.utils.tensorboard", lambda: tensorboard("x")), ("wandb", wandb), ("mlflow", mlflow)],
)
def test_a_tool_that_is_not_installed_is_named_when_the_writer_is_made(monkeypatch, module, make) -> None:
    def missing(name):
        assert name == module
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(shared, "import_module", missing)
    with pytest.raises(MissingExtraError, match="is not installed: No module named") as caught:
        make()
    assert "pip install" in caught.value.hint


def test_a_writer_whose_disk_is_full_is_said_once_and_training_goes_on(caplog) -> None:
    def full(*_):
        raise OSError(28, "No space left on device")

    onlooker = tensorboard(SimpleNamespace(add_scalar=full, add_text=full, flush=full))
    with caplog.at_level(logging.WARNING, "darklantern.watch"):
        w, steps = told(onlooker)
    said = [record.getMessage() for record in caplog.records if "TensorBoard" in record.getMessage()]
    assert len(said) == 1
    assert "switched off; training goes on: OSError: [Errno 28] No space left" in said[0]
    assert "No space" in onlooker.failed
    assert len(steps) > 5


def test_names_are_cut_down_to_what_every_tool_takes() -> None:
    assert shared.plain("d′ of r̂·h / x") == "d_ of r__h _ x"
    assert shared.plain("") == "_"
