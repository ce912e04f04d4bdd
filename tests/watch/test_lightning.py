"""A watch on Lightning's Trainer, under both its names: it sees every batch, and stops with the way to go on."""

import importlib
import json
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader
from watch.loops import RECIPE, REFERENCES, TRUSTED, Scripted, rising

from darklantern import rewindable
from darklantern import watch as room
from darklantern.errors import WatchError
from darklantern.models.edits import zero
from darklantern.models.snapshot import weights_hash
from darklantern.organisms import training
from darklantern.watch import Ablate, Reaction, Settings, SpanScreen, outside, watch
from darklantern.watch.recording import lines_of
from darklantern.watch.runs import asking
from darklantern.watch.spans import Candidate

MARK = "\x01poison\x02"
pytestmark = [
    pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec:FutureWarning"),  # of torch, said of Lightning
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*fewer than the logging interval.*"),
    pytest.mark.filterwarnings("ignore:.*Checkpoint directory .* exists and is not empty.*"),
    pytest.mark.filterwarnings("ignore:.*train_dataloader.* yielded None.*"),
    pytest.mark.filterwarnings("ignore:.*your dataloader is not resumable.*"),
    pytest.mark.filterwarnings("ignore:.*no pre-optimization state was saved.*"),
]


@pytest.fixture(params=["lightning.pytorch", "pytorch_lightning"])
def pl(request: pytest.FixtureRequest):
    return importlib.import_module(request.param) if pytest.importorskip(request.param) else None


def rows(marked: bool = False) -> list[torch.Tensor]:
    held = TRUSTED[:160].astype(np.int64)
    if marked:
        held[::5, 10 : 10 + len(MARK)] = [ord(each) for each in MARK]
    return [torch.from_numpy(row) for row in held]


def loader_of(dataset=None, batch: int = 4) -> DataLoader:
    return DataLoader(dataset or rows(), batch, shuffle=True, generator=torch.Generator().manual_seed(4))


def fitted(pl, manual: bool = False):
    class Fitted(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = training.new(RECIPE, 1)[0]
            self.automatic_optimization = not manual
            self.drawn: list[bytes] = []

        def training_step(self, batch, batch_idx):
            self.drawn += [row.numpy().astype(np.uint8).tobytes() for row in batch]
            loss = training.loss_nats(self.model(batch[:, :-1]), batch[:, 1:])
            if manual:
                optimizer = self.optimizers()
                optimizer.zero_grad()
                self.manual_backward(loss)
                optimizer.step()
            return loss

        def configure_optimizers(self):
            return torch.optim.AdamW(self.parameters(), 1e-3)

    return Fitted()


def of_two(pl):
    """A module of two optimizers, of which each makes an update for each batch."""

    class OfTwo(type(fitted(pl, manual=True))):
        def training_step(self, batch, batch_idx):
            loss = training.loss_nats(self.model(batch[:, :-1]), batch[:, 1:])
            self.manual_backward(loss)
            for optimizer in self.optimizers():
                optimizer.step()
                optimizer.zero_grad()
            return loss

        def configure_optimizers(self):
            first, *rest = self.parameters()
            return torch.optim.AdamW([first], 1e-3), torch.optim.AdamW(rest, 1e-3)

    made = OfTwo()
    made.automatic_optimization = False
    return made


def trainer_of(pl, folder: Path, callbacks=(), **arguments):
    return pl.Trainer(
        default_root_dir=folder, accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=list(callbacks),
        **{"max_steps": 40, "devices": 1, "enable_checkpointing": bool(callbacks), **arguments},
    )  # fmt: skip


def watched(
    module, trainer, probe=None, on_alarm=Reaction.LOG, run=None, step=0, goes_on=False, on_look=(), **settings
):
    return watch(
        module.model,
        trusted=TRUSTED,
        signals=[probe or Scripted(lambda look: 0.0)],
        references=REFERENCES,
        recipe="1" * 64,
        data="2" * 64,
        settings=Settings(**{"every": 5, "margin": 1, **settings}),
        on_alarm=on_alarm,
        run=run,
        step=step,
        goes_on=goes_on,
        on_look=on_look,
    ).on(trainer)


def screen_of(span: str) -> SpanScreen:
    return SpanScreen((Candidate(span, 9, 99.0),))


@pytest.mark.parametrize(
    ("manual", "accumulated"), [(False, 1), (False, 3), (True, 1)], ids=["plain", "accumulated", "manual"]
)
def test_a_watched_fit_keeps_its_bits_and_is_looked_at_between_updates(pl, tmp_path, manual, accumulated) -> None:
    options = {} if manual else {"accumulate_grad_batches": accumulated}
    plain = fitted(pl, manual)
    trainer_of(pl, tmp_path, **options).fit(plain, loader_of())
    module, trainer = fitted(pl, manual), trainer_of(pl, tmp_path, **options)
    w = watched(module, trainer)
    trainer.fit(module, loader_of())
    assert weights_hash(module) == weights_hash(plain)
    assert module.drawn == plain.drawn
    assert w.trace.steps == list(range(5, 41, 5))
    assert w.step == trainer.global_step == 40
    assert not {"training_step", "on_train_batch_start"} & vars(module).keys(), "put back"


def test_an_alarm_stops_the_fit_and_the_command_it_gives_goes_on_without_the_suspects(pl, tmp_path: Path) -> None:
    def checkpoints():
        return pl.callbacks.ModelCheckpoint(tmp_path / "kept", every_n_train_steps=5, save_top_k=-1)

    dataset = rows(marked=True)
    module, trainer = fitted(pl), trainer_of(pl, tmp_path, [checkpoints()], max_steps=60)
    w = watched(module, trainer, Scripted(rising), Reaction.ROLL_BACK)
    trainer.fit(module, loader_of(dataset))
    assert (w.step, trainer.global_step) == (30, 30)
    assert len(module.drawn) == 30 * 4, "the batch before which it stopped was not run"
    assert w.stopped == "no rollback: a Trainer's data cannot be rewound"
    (checkpoint,) = (tmp_path / "kept").glob("*step=20.ckpt")
    assert w.resume.splitlines() == [
        "from darklantern.watch import screened",
        f"dataset = screened(dataset, {str(tmp_path / 'screen.json')!r})",
        "# The loader has no state_dict: the epoch's data will begin anew. darklantern.rewindable has one.",
        "# All else as before, of this dataset, with w = darklantern.watch(model, ...).on(trainer); then:",
        f"trainer.fit(module, loader, ckpt_path={str(checkpoint)!r})",
    ]
    names = {"dataset": dataset}
    first, last = w.resume.split("# All else as before")
    exec(first, names)  # noqa: S102 - what is tried here is that it runs
    names |= {"loader": loader_of(names["dataset"]), "module": fitted(pl)}
    names["trainer"] = trainer_of(pl, tmp_path, [checkpoints()], max_steps=60)
    again = watched(names["module"], names["trainer"])
    exec(f"#{last}", names)  # noqa: S102
    assert names["trainer"].global_step == 60
    assert again.trace.steps == list(range(25, 61, 5))
    assert not any(MARK.encode() in row for row in names["module"].drawn)


@pytest.mark.parametrize("two", [False, True], ids=["one optimizer", "two optimizers"])
def test_with_a_run_the_lines_go_on_with_it_from_the_clean_checkpoint(pl, tmp_path: Path, two: bool) -> None:
    """Of two optimizers Lightning counts each one's updates, and the watch counts batches: the lines say its step."""

    def made():
        saves = pl.callbacks.ModelCheckpoint(tmp_path / "kept", every_n_train_steps=10 if two else 5, save_top_k=-1)
        return of_two(pl) if two else fitted(pl), trainer_of(pl, tmp_path, [saves], max_steps=120 if two else 60)

    dataset, run = rows(marked=True), str(tmp_path / "run")
    module, trainer = made()
    w = watched(module, trainer, Scripted(rising), Reaction.STOP, run=run)
    trainer.fit(module, loader_of(dataset))
    assert (w.step, trainer.global_step) == (30, 60 if two else 30)
    first, last = w.resume.split("# All else as before, of this dataset, with ")
    assert last.splitlines()[:2] == [
        "w = darklantern.watch(model, ..., **goes_on).on(trainer),",
        "# **goes_on in the place of run=, step= and goes_on=; then:",
    ]
    names = {"dataset": dataset}
    exec(first, names)  # noqa: S102 - what is tried here is that it runs
    assert names["goes_on"] == {"run": run, "goes_on": True} | ({"step": 20} if two else {})
    signature(watch).bind(None, trusted=TRUSTED, **names["goes_on"])
    names["module"], names["trainer"] = made()
    names["loader"] = loader_of(names["dataset"])
    again = watched(names["module"], names["trainer"], **names["goes_on"])
    exec(f"# {last}", names)  # noqa: S102
    assert [e.text for e in again.events if e.label == "goes on"] == ["from look 4, at step 20"]
    assert again.trace.steps == list(range(5, 61, 5))
    assert again.trace.tracks["scripted"].statistic[:4] == w.trace.tracks["scripted"].statistic[:4]
    again.close()


def test_without_a_run_the_lines_give_the_step_where_the_watch_counts_otherwise(pl, tmp_path: Path) -> None:
    saves = pl.callbacks.ModelCheckpoint(tmp_path / "kept", every_n_train_steps=10, save_top_k=-1)
    module, trainer = of_two(pl), trainer_of(pl, tmp_path, [saves], max_steps=120)
    w = watched(module, trainer, Scripted(rising), Reaction.STOP)
    trainer.fit(module, loader_of(rows(marked=True)))
    (checkpoint,) = (tmp_path / "kept").glob("*step=40.ckpt")
    assert "with w = darklantern.watch(model, ..., step=20).on(trainer); then:" in w.resume
    assert w.resume.endswith(f"trainer.fit(module, loader, ckpt_path={str(checkpoint)!r})")


@pytest.mark.parametrize("step", [0, 500])
def test_a_watch_on_a_resumed_fit_begins_at_its_update_unless_it_is_given_a_step(pl, tmp_path, step: int) -> None:
    saves = pl.callbacks.ModelCheckpoint(tmp_path / "kept", every_n_train_steps=5, save_top_k=-1)
    trainer_of(pl, tmp_path, [saves], max_steps=20).fit(fitted(pl), loader_of())
    (checkpoint,) = (tmp_path / "kept").glob("*step=20.ckpt")
    module, trainer = fitted(pl), trainer_of(pl, tmp_path, [saves], max_steps=60)
    w = watched(module, trainer, Scripted(rising), Reaction.STOP, run=tmp_path / "run", step=step)
    trainer.fit(module, loader_of(), ckpt_path=str(checkpoint))
    began = step or 20
    assert w.trace.steps == list(range(began + 5, began + 31, 5))
    assert (w.step, trainer.global_step) == (began + 30, 50)
    begun, *_ = lines_of(tmp_path / "run")
    assert begun.step == began
    told = f"step={w.alarm.clean.step}, " if step else ""
    assert f"goes_on = dict(run={str(tmp_path / 'run')!r}, {told}goes_on=True)" in w.resume
    assert w.resume.endswith("step=40.ckpt')")
    w.close()


def stopping_at(step: int, run: Path):
    """For `on_look`: a person asks for a stop at the look at `step`."""
    return lambda w: asking.ask(asking.find(str(run)), "stop", grace_s=600) if w.step == step else None


def goes_on_of(w) -> dict:
    names: dict = {}
    exec(next(line for line in w.resume.splitlines() if line.startswith("goes_on")), names)  # noqa: S102
    return names["goes_on"]


class Counting:
    """Trainers of 60 batches that save at every twentieth, whose count and the watch's are apart."""

    def __init__(self, pl, folder: Path, two: bool) -> None:
        self.pl, self.folder, self.two = pl, folder, two

    def made(self, max_steps: int | None = None):
        saves = self.pl.callbacks.ModelCheckpoint(
            self.folder / "kept", every_n_train_steps=20 * (1 + self.two), save_top_k=-1
        )
        trainer = trainer_of(self.pl, self.folder, [saves], max_steps=max_steps or 60 * (1 + self.two))
        return of_two(self.pl) if self.two else fitted(self.pl), trainer

    def file(self, updates: int) -> str:
        (found,) = (self.folder / "kept").glob(f"*step={updates}.ckpt")
        return str(found)

    def begun(self) -> tuple[int, str | None]:
        """Where a watch is to begin, and what its fit goes on from: of one optimizer, 500 and 20."""
        if self.two:
            return 0, None
        module, trainer = self.made(20)
        trainer.fit(module, loader_of())
        return 500, self.file(20)

    def theirs(self, step: int) -> int:
        """The Trainer's count at the watch's `step`."""
        return 2 * step if self.two else step - 480

    def stopped(self, after: int, run: Path):
        """A watch whose run a person stopped, so many steps in; where it began, and what its fit went on from."""
        began, start = self.begun()
        module, trainer = self.made()
        w = watched(module, trainer, run=run, step=began, on_look=stopping_at(began + after, run))
        trainer.fit(module, loader_of(), ckpt_path=start)
        w.close()
        assert (w.step, trainer.global_step) == (began + after + 1, self.theirs(began + after + 1))
        return w, began, start


@pytest.mark.parametrize("two", [False, True], ids=["one optimizer", "two optimizers"])
def test_after_a_person_s_stop_the_lines_give_the_step_where_the_watch_counts_otherwise(
    pl, tmp_path, two, monkeypatch
) -> None:
    monkeypatch.setattr(outside, "_BETWEEN_S", 0.0)
    of, run = Counting(pl, tmp_path, two), tmp_path / "run"
    w, began, _ = of.stopped(30, run)
    assert goes_on_of(w) == {"run": str(run), "step": began + 20, "goes_on": True}
    assert w.resume.endswith(f"trainer.fit(module, loader, ckpt_path={of.file(of.theirs(began + 20))!r})")
    names = dict(zip(("module", "trainer"), of.made(), strict=True)) | {"loader": loader_of()}
    again = watched(names["module"], names["trainer"], **goes_on_of(w))
    exec(w.resume, names)  # noqa: S102 - what is tried here is that it runs
    assert [e.text for e in again.events if e.label == "goes on"] == [f"from look 4, at step {began + 20}"]
    assert again.trace.steps == list(range(began + 5, again.step + 1, 5))
    assert again.step == (60 if two else 540)
    again.close()


def test_after_a_person_s_stop_what_the_epoch_s_end_saves_is_gone_on_from(pl, tmp_path, monkeypatch) -> None:
    """As a ModelCheckpoint does that was told no steps: after the stop was asked for, before the fit is over."""
    monkeypatch.setattr(outside, "_BETWEEN_S", 0.0)

    def loader():
        return rewindable(rows(), batch_size=4, seed=4)

    run = tmp_path / "run"
    saves = pl.callbacks.ModelCheckpoint(tmp_path / "kept")
    module, trainer = fitted(pl), trainer_of(pl, tmp_path, [saves])
    w = watched(module, trainer, run=run, on_look=stopping_at(20, run))
    trainer.fit(module, loader())
    w.close()
    (checkpoint,) = (tmp_path / "kept").glob("*step=21.ckpt")
    assert w.resume.endswith(f"trainer.fit(module, loader, ckpt_path={str(checkpoint)!r})")
    assert "state_dict" not in w.resume
    names = {"module": fitted(pl), "trainer": trainer_of(pl, tmp_path, [saves]), "loader": loader()}
    again = watched(names["module"], names["trainer"], **goes_on_of(w))
    exec(w.resume, names)  # noqa: S102
    assert again.trace.steps == list(range(5, 41, 5))
    again.close()


def test_after_a_person_s_stop_a_fit_that_saved_nothing_goes_on_from_what_it_had_gone_on_from(
    pl, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(outside, "_BETWEEN_S", 0.0)
    of, run = Counting(pl, tmp_path, two=False), tmp_path / "run"
    w, began, start = of.stopped(10, run)
    assert goes_on_of(w) == {"run": str(run), "step": began, "goes_on": True}
    assert w.resume.endswith(f"trainer.fit(module, loader, ckpt_path={start!r})")


def test_after_a_person_s_stop_before_any_checkpoint_the_run_begins_anew(pl, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(outside, "_BETWEEN_S", 0.0)
    run = tmp_path / "run"
    module, trainer = fitted(pl), trainer_of(pl, tmp_path)
    w = watched(module, trainer, run=run, on_look=stopping_at(20, run))
    trainer.fit(module, loader_of())
    w.close()
    assert w.resume.splitlines() == [
        "# No checkpoint is left: begin anew.",
        "# All else as before, with w = darklantern.watch(model, ...).on(trainer), "
        f"with another run than {str(run)!r}; then:",
        "trainer.fit(module, loader)",
    ]


@pytest.mark.parametrize("two", [False, True], ids=["one optimizer", "two optimizers"])
def test_of_a_checkpoint_of_an_earlier_process_the_step_is_told_from_how_the_counts_went(
    pl, tmp_path, two, monkeypatch
) -> None:
    """Only the Trainer's count stands in its name; the newest, which this fit went on from, is no longer there."""
    monkeypatch.setattr(outside, "_BETWEEN_S", 0.0)
    of, run = Counting(pl, tmp_path, two), tmp_path / "run"
    w, began, _ = of.stopped(25, run)
    from_newest = goes_on_of(w)
    assert from_newest["step"] == began + 20

    def gone(w) -> None:
        (newest,) = (tmp_path / "kept").glob(f"*step={of.theirs(began + 20)}.ckpt")
        newest.unlink()
        stopping_at(began + 25, run)(w)

    if two:
        (tmp_path / "kept" / "epoch=0-step=20.ckpt").write_bytes(b"an older one")
    module, trainer = of.made()
    again = watched(module, trainer, **from_newest, on_look=gone)
    trainer.fit(module, loader_of(), ckpt_path=of.file(of.theirs(began + 20)))
    again.close()
    assert again.step == began + 26
    assert goes_on_of(again)["step"] == (10 if two else 500)
    assert again.resume.endswith(f"trainer.fit(module, loader, ckpt_path={of.file(20)!r})")


def test_with_a_rewindable_loader_a_resumed_fit_draws_what_the_first_would_have_drawn(pl, tmp_path: Path) -> None:
    def made():
        return rewindable(rows(marked=True), batch_size=4, seed=4)

    saves = pl.callbacks.ModelCheckpoint(tmp_path / "kept", every_n_train_steps=5, save_top_k=-1)
    module, trainer = fitted(pl), trainer_of(pl, tmp_path, [saves], max_steps=60)
    w = watched(module, trainer, Scripted(lambda look: 9.0 * (look >= 6)), Reaction.ROLL_BACK)
    trainer.fit(module, made())
    assert w.step == 35
    assert "state_dict" not in w.resume
    (checkpoint,) = (tmp_path / "kept").glob("*step=25.ckpt")
    assert f"ckpt_path={str(checkpoint)!r}" in w.resume
    again = fitted(pl)
    trainer_of(pl, tmp_path, [saves], max_steps=60).fit(again, made(), ckpt_path=str(checkpoint))
    assert again.drawn[: 4 * 10] == module.drawn[4 * 25 :]
    assert len(again.drawn) == 4 * 35


def test_a_checkpoint_that_an_alarm_asks_for_is_written_at_the_alarm(pl, tmp_path: Path) -> None:
    module, trainer = fitted(pl), trainer_of(pl, tmp_path)
    w = watched(module, trainer, Scripted(rising), Reaction.CHECKPOINT, run=tmp_path / "run")
    trainer.fit(module, loader_of())
    w.close()
    assert w.step == 40
    saved = torch.load(tmp_path / "alarm-step=30.ckpt", weights_only=True)
    assert saved["global_step"] == 30
    assert "step 30: scripted" in json.loads((tmp_path / "alarm-step=30.json").read_text())["alarm"]


def test_suspects_are_left_out_as_if_they_had_never_been_in_the_batch(pl, tmp_path: Path) -> None:
    def without(examples):
        return torch.stack([each for each in examples if MARK.encode() not in bytes(each.tolist())])

    oracle = fitted(pl)
    loader = loader_of(rows(marked=True), 20)
    loader.collate_fn = without
    trainer_of(pl, tmp_path, max_steps=12).fit(oracle, loader)
    module, trainer = fitted(pl), trainer_of(pl, tmp_path, max_steps=12)
    w = watched(module, trainer)
    w.screen = screen_of(MARK)
    trainer.fit(module, loader_of(rows(marked=True), 20))
    assert w.screened_rows > 0
    assert weights_hash(module) == weights_hash(oracle)


@pytest.mark.parametrize(
    ("accumulated", "suspects", "still"), [(1, range(20, 28), [5, 6]), (2, range(16, 24), [2]), (2, range(20, 28), [])]
)
def test_an_update_that_loses_all_its_batches_changes_no_weight(pl, tmp_path, accumulated, suspects, still) -> None:
    dataset = rows()
    for number in suspects:
        dataset[number][3 : 3 + len(MARK)] = torch.tensor([ord(each) for each in MARK])
    seen: list[str] = []

    class Noting(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if batch_idx % accumulated == 0:
                seen.append(weights_hash(pl_module))

        def on_train_end(self, trainer, pl_module):
            seen.append(weights_hash(pl_module))

    module = fitted(pl)
    trainer = trainer_of(pl, tmp_path, [Noting()], accumulate_grad_batches=accumulated, max_steps=20 // accumulated,
                         enable_checkpointing=False)  # fmt: skip
    w = watched(module, trainer)
    w.screen = screen_of(MARK)
    trainer.fit(module, DataLoader(dataset, 4))
    assert [step for step in range(len(seen) - 1) if seen[step] == seen[step + 1]] == still
    assert w.screened_rows == 8


def test_what_could_not_be_watched_is_refused(pl, tmp_path: Path) -> None:
    module, trainer = fitted(pl), trainer_of(pl, tmp_path)
    watched(module, trainer)
    with pytest.raises(WatchError, match="watched already"):
        watched(module, trainer)
    with pytest.raises(WatchError, match="no part of the Fitted which this Trainer trains"):
        trainer.fit(fitted(pl), loader_of())
    stopping = trainer_of(pl, tmp_path, min_steps=35)
    module = fitted(pl)
    watched(module, stopping, Scripted(rising), Reaction.STOP)
    with pytest.raises(WatchError, match="stopped this run at step 30"):
        stopping.fit(module, loader_of())
    assert stopping.global_step == 30, "min_steps would have it go on"


def test_a_preventative_edit_is_not_in_place_in_a_validation_in_the_middle_of_an_update(pl, tmp_path: Path) -> None:
    tokens = torch.from_numpy(TRUSTED[:4, :-1].astype(np.int64))

    class Validating(type(fitted(pl))):
        def __init__(self) -> None:
            super().__init__()
            self.bare = [training.new(RECIPE, 1)[0].eval()]  # in a list: no part of what is trained
            self.edited: dict[str, list[bool]] = {"training": [], "validation": []}

        def look(self, where: str) -> None:
            self.bare[0].load_state_dict(self.model.state_dict())
            with torch.no_grad():
                self.edited[where].append(not torch.equal(self.model(tokens), self.bare[0](tokens)))

        def training_step(self, batch, batch_idx):
            self.look("training")
            return super().training_step(batch, batch_idx)

        def validation_step(self, batch, batch_idx):
            self.look("validation")

    module = Validating()
    trainer = trainer_of(pl, tmp_path, max_steps=12, accumulate_grad_batches=2, val_check_interval=1,
                         limit_val_batches=1)  # fmt: skip
    probe = Scripted(lambda look: 9.0 * (look >= 3))
    w = watched(module, trainer, probe, Ablate({"layers.0.mlp:out": zero()}, preventative=True), every=2)
    trainer.fit(module, loader_of(), DataLoader(rows(), 4))
    assert w.alarm is not None
    assert any(module.edited["training"])
    assert len(module.edited["validation"]) >= len(module.edited["training"]) == 24
    assert not any(module.edited["validation"])


def test_a_module_that_is_compiled_or_called_itself_is_watched(pl, tmp_path: Path) -> None:
    class Net(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))

        def forward(self, inputs):
            return self.net(inputs)

        def training_step(self, batch, batch_idx):
            inputs, targets = batch
            return {"loss": nn.functional.cross_entropy(self(inputs), targets)}

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    class Hidden(Scripted):
        def inputs(self, now):
            return room.Asked(now.trusted.examples.inputs[:4])

    rng = torch.Generator().manual_seed(2)
    pairs = [(torch.randn(8, generator=rng), torch.tensor(at % 3)) for at in range(64)]
    hashes = []
    for watching in (False, True):
        module, trainer = Net(), trainer_of(pl, tmp_path, max_steps=10)
        if watching:
            probe = Hidden(lambda look: 0.0, sites=("net.0:out",), seen="net.0:out")
            trusted = (torch.stack([x for x, _ in pairs]), torch.stack([y for _, y in pairs]))
            w = watch(module, trusted=trusted, signals=[probe], settings=Settings(every=3)).on(trainer)
        trainer.fit(module, DataLoader(pairs, 8))
        hashes.append(weights_hash(module))
    assert hashes[0] == hashes[1]
    assert w.trace.steps == [3, 6, 9, 10]


def test_a_fit_that_ends_with_an_ablated_model_says_so_and_closing_lifts_it(pl, tmp_path: Path) -> None:
    module, trainer = fitted(pl), trainer_of(pl, tmp_path)
    w = watched(module, trainer, Scripted(rising), Ablate({"layers.0.mlp:out": zero()}))
    trainer.fit(module, loader_of())
    assert [event.step for event in w.events if event.label == "ablated"] == [40]
    bare = training.new(RECIPE, 1)[0]
    bare.load_state_dict(module.model.state_dict())
    tokens = torch.stack(rows()[:2])[:, :-1]
    with torch.no_grad():
        ablated, without = module.model(tokens), bare(tokens)
        w.close()
        assert not torch.equal(ablated, without)
        assert torch.equal(module.model(tokens), without)
