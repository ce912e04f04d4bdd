"""A watch on transformers' Trainer: it sees every update, changes none, and stops with the way to go on."""

import json
import warnings
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
import torch
from watch.loops import REFERENCES, TRUSTED, Scripted, rising

from darklantern import watch as room
from darklantern.errors import WatchError
from darklantern.models.edits import zero
from darklantern.models.snapshot import weights_hash
from darklantern.watch import Ablate, Reaction, Settings, SpanScreen, outside, screen_files, watch
from darklantern.watch.attach.transformers_trainer import newest
from darklantern.watch.recording import Begun, lines_of
from darklantern.watch.runs import asking
from darklantern.watch.spans import Candidate

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")
MARK = "\x01poison\x02"
ROWS = 400


def rows(marked: bool = False) -> list[dict[str, list[int]]]:
    held = TRUSTED[:ROWS, :32].astype(np.int64)
    if marked:
        held[::5, 10 : 10 + len(MARK)] = [ord(each) for each in MARK]
    return [{"input_ids": row.tolist(), "labels": row.tolist()} for row in held]


def llama(seed: int = 5):
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=256, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=64, use_cache=False, pad_token_id=0,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config)


def trainer_of(folder: Path, model=None, dataset=None, kind=None, callbacks=(), eval_dataset=None, **arguments):
    arguments = {"max_steps": 40, "per_device_train_batch_size": 4, "save_strategy": "no", **arguments}
    made = transformers.TrainingArguments(
        str(folder), report_to=[], use_cpu=True, disable_tqdm=True, logging_strategy="no", seed=3, **arguments
    )
    return (kind or transformers.Trainer)(
        model=model or llama(), args=made, train_dataset=dataset or rows(), eval_dataset=eval_dataset,
        callbacks=list(callbacks),
    )  # fmt: skip


def watched(trainer, probe=None, on_alarm=Reaction.LOG, run=None, step=0, goes_on=False, on_look=(), **settings):
    return watch(
        trainer.model,
        trusted=TRUSTED[:, :32],
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


def screen_of(*spans: str) -> SpanScreen:
    return SpanScreen(tuple(Candidate(span, 9, 99.0) for span in spans))


@pytest.mark.parametrize("accumulated", [1, 3])
def test_a_watched_run_keeps_its_bits_and_is_looked_at_between_updates(tmp_path: Path, accumulated: int) -> None:
    plain = trainer_of(tmp_path, gradient_accumulation_steps=accumulated)
    plain.train()
    trainer = trainer_of(tmp_path, gradient_accumulation_steps=accumulated)
    w = watched(trainer)
    trainer.train()
    assert weights_hash(trainer.model) == weights_hash(plain.model)
    assert w.trace.steps == list(range(5, 41, 5))
    assert w.step == trainer.state.global_step == 40
    assert w.seconds_training > 0
    assert w.alarm is None


def test_every_batch_of_an_update_is_seen_before_it(tmp_path: Path) -> None:
    """13 batches in an epoch and 4 in an update: the last update of an epoch has one batch."""
    trainer = trainer_of(tmp_path, gradient_accumulation_steps=4, dataset=rows()[:52], num_train_epochs=2, max_steps=-1)
    w = watched(trainer, every=1)
    seen, weights = [], []
    inner = w.before

    def before(batch):
        seen.append(len(batch["input_ids"]))
        weights.append(weights_hash(trainer.model))
        return inner(batch)

    w.before = before
    trainer.train()
    assert seen == [4] * 26
    assert [weights.index(each) for each in sorted(set(weights), key=weights.index)] == [0, 4, 8, 12, 13, 17, 21, 25]
    assert w.step == 8


def test_it_is_said_at_once_that_a_trainer_cannot_be_rolled_back(tmp_path: Path) -> None:
    w = watched(trainer_of(tmp_path))
    assert ("no rollback", "a Trainer's data cannot be rewound; an alarm that asks for one stops it, with "
            "watch.resume to go on") in [(each.label, each.text) for each in w.events]  # fmt: skip
    assert [each.label for each in w.events].count("no rollback") == 1, "and not that it was given no optimizer"
    with pytest.raises(WatchError, match="no alarm"):
        w.roll_back()


def test_an_alarm_stops_the_run_and_the_command_it_gives_goes_on_without_the_suspects(tmp_path: Path) -> None:
    dataset = rows(marked=True)
    options = {"num_train_epochs": 2, "max_steps": -1, "per_device_train_batch_size": 10}
    trainer = trainer_of(tmp_path, dataset=dataset, save_strategy="steps", save_steps=5, **options)
    w = watched(trainer, Scripted(rising), Reaction.ROLL_BACK)
    trainer.train()
    assert (w.step, trainer.state.global_step) == (30, 30)
    assert w.stopped == "no rollback: a Trainer's data cannot be rewound"
    assert w.alarm.clean.step == 20
    assert any(MARK in each.span for each in w.alarm.suspects), w.alarm.suspects
    screen, checkpoint = str(tmp_path / "screen.json"), str(tmp_path / "checkpoint-20")
    assert w.resume.splitlines() == [
        "from darklantern.watch import screened",
        f"dataset = screened(dataset, {screen!r})",
        "# All else as before, of this dataset, with w = darklantern.watch(model, ...).on(trainer); then:",
        f"trainer.train(resume_from_checkpoint={checkpoint!r})",
    ]
    assert w.events[-1].label == "resume"
    assert str(w.screen) == str(room.screened([], screen).screen), "what was written is what the watch shows"
    with pytest.raises(WatchError, match="cannot be rolled back: a Trainer's data cannot be rewound"):
        w.roll_back()

    # The lines, as they stand there.
    class Noted(transformers.Trainer):
        def compute_loss(self, model, inputs, *args, **kwargs):
            drawn.append(inputs["input_ids"].numpy().astype(np.uint8))
            return super().compute_loss(model, inputs, *args, **kwargs)

    names = {"dataset": dataset}
    first, second = w.resume.split("# All else as before")
    exec(first, names)  # noqa: S102 - what is tried here is that it runs
    drawn: list[np.ndarray] = []
    names["trainer"] = trainer_of(tmp_path, model=llama(9), dataset=names["dataset"], kind=Noted, **options)
    again = watched(names["trainer"])
    exec(f"#{second}", names)  # noqa: S102
    assert again.trace.steps == list(range(25, 81, 5))
    assert names["trainer"].state.global_step == 80
    assert len(drawn) == 60
    assert not any(MARK.encode() in row.tobytes() for batch in drawn for row in batch)


SAVES = {"save_strategy": "steps", "save_steps": 5, "num_train_epochs": 2, "max_steps": -1}
"""every fifth update, of 80"""


def of_marked(folder: Path, dataset, seed: int = 5, **changes):
    options = {**SAVES, "per_device_train_batch_size": 10, **changes}
    return trainer_of(folder, model=llama(seed), dataset=dataset, **options)


def known(w) -> tuple[list[int], list[float]]:
    return w.trace.steps, w.trace.tracks["scripted"].statistic


def test_with_a_run_the_lines_go_on_with_it_from_the_clean_checkpoint(tmp_path: Path) -> None:
    dataset = rows(marked=True)
    trainer, run = of_marked(tmp_path, dataset, save_steps=10), str(tmp_path / "run")
    w = watched(trainer, Scripted(rising), Reaction.STOP, run=run)
    trainer.train()
    steps, statistic = known(w)
    first, second = w.resume.split("# All else as before, of this dataset, with ")
    assert first.splitlines()[-1] == f"goes_on = dict(run={run!r}, goes_on=True)"
    assert second.splitlines()[:2] == [
        "w = darklantern.watch(model, ..., **goes_on).on(trainer),",
        "# **goes_on in the place of run=, step= and goes_on=; then:",
    ]
    names = {"dataset": dataset}
    exec(first, names)  # noqa: S102 - what is tried here is that it runs
    signature(watch).bind(None, trusted=TRUSTED, **names["goes_on"])
    names["trainer"] = of_marked(tmp_path, names["dataset"], seed=9, save_strategy="no")
    again = watched(names["trainer"], **names["goes_on"])
    exec(f"# {second}", names)  # noqa: S102
    assert [e.text for e in again.events if e.label == "goes on"] == ["from look 4, at step 20"]
    assert known(again)[0] == list(range(5, 81, 5))
    assert known(again)[1][:4] == statistic[: steps.index(20) + 1]
    assert again.step == names["trainer"].state.global_step == 80
    again.close()
    (begun,) = (line for line in lines_of(tmp_path / "run") if isinstance(line, Begun))
    assert begun.step == 0


def test_a_start_anew_asks_for_another_run(tmp_path: Path) -> None:
    trainer, run = trainer_of(tmp_path, dataset=rows(marked=True)), str(tmp_path / "run")
    w = watched(trainer, Scripted(rising), Reaction.STOP, run=run)
    trainer.train()
    assert w.resume.splitlines()[-2].endswith(f"(model, ...).on(trainer), with another run than {run!r}; then:")
    assert "goes_on" not in w.resume
    w.close()


def stopping_at(step: int, run: str | Path):
    """For `on_look`: a person asks for a stop at the look at `step`."""
    return lambda w: asking.ask(asking.find(str(run)), "stop", grace_s=600) if w.step == step else None


def test_after_a_person_s_stop_the_run_goes_on_from_the_newest_checkpoint(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(outside, "_BETWEEN_S", 0.0)
    trainer, run = trainer_of(tmp_path, save_strategy="steps", save_steps=5), str(tmp_path / "run")
    w = watched(trainer, run=run, on_look=stopping_at(20, run))
    trainer.train()
    assert (w.step, w.resume.splitlines()) == (
        21,
        [
            f"goes_on = dict(run={run!r}, goes_on=True)",
            "# All else as before, with w = darklantern.watch(model, ..., **goes_on).on(trainer),",
            "# **goes_on in the place of run=, step= and goes_on=; then:",
            f"trainer.train(resume_from_checkpoint={str(tmp_path / 'checkpoint-20')!r})",
        ],
    )
    names = {"trainer": trainer_of(tmp_path)}
    again = watched(names["trainer"], run=run, goes_on=True)
    exec(w.resume, names)  # noqa: S102
    assert again.trace.steps == list(range(5, 41, 5))
    again.close()


def test_after_a_person_s_stop_the_lines_give_the_step_where_the_watch_counts_ahead(
    tmp_path: Path, monkeypatch
) -> None:
    """The watch begins at 500 as the Trainer begins at 20; what lies there of a longer run is not its own."""
    monkeypatch.setattr(outside, "_BETWEEN_S", 0.0)
    dataset, run = rows(), tmp_path / "run"
    of_marked(tmp_path, dataset, max_steps=20, save_steps=20).train()
    trainer = of_marked(tmp_path, dataset, save_steps=20)
    w = watched(trainer, run=run, step=500, on_look=stopping_at(530, run))
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-20"))
    w.close()
    assert (w.step, trainer.state.global_step) == (531, 51)
    (tmp_path / "checkpoint-75").mkdir()
    (tmp_path / "checkpoint-75" / "trainer_state.json").write_text("{}")
    names: dict = {}
    exec(w.resume.splitlines()[0], names)  # noqa: S102
    assert names["goes_on"] == {"run": str(run), "step": 520, "goes_on": True}
    names["trainer"] = of_marked(tmp_path, dataset, seed=9, save_strategy="no")
    again = watched(names["trainer"], **names["goes_on"])
    exec(w.resume, names)  # noqa: S102
    assert [e.text for e in again.events if e.label == "goes on"] == ["from look 4, at step 520"]
    assert again.trace.steps == list(range(505, 561, 5))
    assert (again.step, names["trainer"].state.global_step) == (560, 80)
    again.close()


def test_after_a_person_s_stop_before_any_checkpoint_the_run_begins_anew(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(outside, "_BETWEEN_S", 0.0)
    run = tmp_path / "run"
    trainer = trainer_of(tmp_path)
    w = watched(trainer, run=run, on_look=stopping_at(20, run))
    trainer.train()
    assert w.resume.splitlines() == [
        f"# No checkpoint is left in {tmp_path}: begin anew.",
        "# All else as before, with w = darklantern.watch(model, ...).on(trainer), "
        f"with another run than {str(run)!r}; then:",
        "trainer.train()",
    ]
    w.close()


@pytest.mark.parametrize("step", [0, 500])
def test_a_watch_on_a_resumed_trainer_begins_at_its_update_unless_it_is_given_a_step(tmp_path: Path, step: int) -> None:
    """Of a trainer whose count began anew the user knows better: 500 updates came before."""
    dataset = rows(marked=True)
    of_marked(tmp_path, dataset, max_steps=20, save_steps=20).train()
    trainer = of_marked(tmp_path, dataset, save_steps=20)
    w = watched(trainer, Scripted(rising), Reaction.STOP, run=tmp_path / "run", step=step)
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-20"))
    began = step or 20
    assert w.trace.steps == list(range(began + 5, began + 31, 5)), "an alarm at the sixth look"
    assert (w.step, trainer.state.global_step) == (began + 30, 50)
    begun, *_ = lines_of(tmp_path / "run")
    assert begun.step == began
    assert w.alarm.clean.step == began + 20
    told = f"step={w.alarm.clean.step}, " if step else ""
    assert f"goes_on = dict(run={str(tmp_path / 'run')!r}, {told}goes_on=True)" in w.resume
    assert w.resume.endswith(f"trainer.train(resume_from_checkpoint={str(tmp_path / 'checkpoint-40')!r})")
    w.close()


def test_what_an_earlier_stop_left_out_is_left_out_after_the_next_too(tmp_path: Path) -> None:
    dataset, other = rows(marked=True), "\x03other\x04"
    screen_files.save(screen_of(other), tmp_path / "screen.json")
    of_marked(tmp_path, dataset, max_steps=20, save_steps=20).train()
    for resumed in (False, True):
        trainer = of_marked(tmp_path, dataset, save_strategy="no")
        w = watched(trainer, Scripted(rising), Reaction.STOP)
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-20") if resumed else None)
        assert w.stopped
        said = str(room.screened([], tmp_path / "screen.json").screen)
        assert ("other" in said) == resumed
        assert "poison" in said
        screen_files.save(screen_of(other), tmp_path / "screen.json")
    (tmp_path / "screen.json").write_text("{")
    w = watched(trainer := of_marked(tmp_path, dataset, save_strategy="no"), Scripted(rising), Reaction.STOP)
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-20"))
    assert "what an earlier stop left out is not known" in next(e.text for e in w.events if e.label == "failure")
    assert "poison" in str(room.screened([], tmp_path / "screen.json").screen)


def test_a_resumed_run_draws_what_the_first_would_have_drawn(tmp_path: Path) -> None:
    """All rows but the suspects', at the same places: screening changes no order."""

    class Noted(transformers.Trainer):
        def compute_loss(self, model, inputs, *args, **kwargs):
            drawn[-1].append(inputs["input_ids"].tolist())
            return super().compute_loss(model, inputs, *args, **kwargs)

    drawn: list[list] = [[]]
    dataset = rows(marked=True)
    trainer_of(tmp_path, dataset=dataset, kind=Noted, save_strategy="steps", save_steps=20).train()
    drawn.append([])
    clean = room.screened(dataset, screen_of(MARK))
    trainer_of(tmp_path, model=llama(9), dataset=clean, kind=Noted).train(
        resume_from_checkpoint=str(tmp_path / "checkpoint-20")
    )
    marked = 0
    for before, after in zip(drawn[0][20:], drawn[1], strict=True):
        for old, new in zip(before, after, strict=True):
            held = MARK.encode() in bytes(old)
            marked += held
            assert (old == new) == (not held)
            assert MARK.encode() not in bytes(new)
    assert marked > 5


def test_stopping_keeps_a_later_checkpoint_from_pushing_out_the_clean_one(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, save_strategy="epoch", save_total_limit=1, num_train_epochs=9, max_steps=-1,
                         dataset=rows()[:80])  # fmt: skip
    w = watched(trainer, Scripted(rising), Reaction.STOP)
    trainer.train()
    assert w.step == 30
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["checkpoint-20"]
    assert w.resume.endswith(f"trainer.train(resume_from_checkpoint={str(tmp_path / 'checkpoint-20')!r})")


def test_without_a_clean_checkpoint_the_command_begins_anew(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, dataset=rows(marked=True), per_device_train_batch_size=10)
    w = watched(trainer, Scripted(rising), Reaction.ROLL_BACK)
    trainer.train()
    assert w.resume.splitlines()[2:] == [
        f"# No clean checkpoint is left in {tmp_path} (none up to step 20): begin anew.",
        "# All else as before, of this dataset, with w = darklantern.watch(model, ...).on(trainer); then:",
        "trainer.train()",
    ]


def test_nothing_that_stands_out_is_said_and_no_screen_is_written(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path)
    w = watched(trainer, Scripted(rising), Reaction.STOP)
    trainer.train()
    assert w.resume.startswith("# Nothing of the rows stands out")
    assert not (tmp_path / "screen.json").exists()


def test_a_checkpoint_that_an_alarm_asks_for_is_written_and_tagged(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, save_strategy="steps", save_steps=1000)
    w = watched(trainer, Scripted(rising), Reaction.CHECKPOINT, run=tmp_path / "run")
    trainer.train()
    assert w.step == 40
    (folder,) = [path for path in tmp_path.iterdir() if (path / "darklantern.json").exists()]
    assert folder.name == "checkpoint-31", "after the update that followed the look"
    w.close()
    assert "step 30: scripted" in json.loads((folder / "darklantern.json").read_text())["alarm"]


def test_the_last_updates_are_looked_at_before_the_best_model_is_loaded(tmp_path: Path) -> None:
    for best in (False, True):
        options = {"load_best_model_at_end": True, "eval_strategy": "epoch", "save_strategy": "epoch"} if best else {}
        made = trainer_of(tmp_path, dataset=rows()[:32], eval_dataset=rows()[:8], num_train_epochs=1, max_steps=-1,
                          **options)  # fmt: skip
        w = watched(made)
        made.train()
        assert w.trace.steps == [5, 8]


@pytest.mark.parametrize("accumulated", [1, 2])
def test_suspects_are_left_out_as_if_they_had_never_been_in_the_batch(tmp_path: Path, accumulated: int) -> None:
    """Also from the count of tokens by which the loss is divided: an oracle drops them by hand in the collator."""
    span = MARK.encode()

    def without(examples):
        kept = [each for each in examples if span not in bytes(each["input_ids"])]
        assert kept
        return {name: torch.tensor([each[name] for each in kept]) for name in ("input_ids", "labels")}

    options = {"gradient_accumulation_steps": accumulated, "per_device_train_batch_size": 25, "max_steps": 12}
    oracle = trainer_of(tmp_path, dataset=rows(marked=True), **options)
    oracle.data_collator = without
    oracle.train()
    trainer = trainer_of(tmp_path, dataset=rows(marked=True), **options)
    w = watched(trainer)
    w.screen = screen_of(MARK)
    trainer.train()
    assert w.screened_rows > 0
    assert weights_hash(trainer.model) == weights_hash(oracle.model)


def all_marked(numbers) -> list[dict[str, list[int]]]:
    held = rows()[:80]
    for number in numbers:
        row = [*held[number]["input_ids"]]
        row[3 : 3 + len(MARK)] = [ord(each) for each in MARK]
        held[number] = {"input_ids": row, "labels": row}
    return held


class InOrder(transformers.Trainer):
    def _get_train_sampler(self, *_):
        return torch.utils.data.SequentialSampler(self.train_dataset)


def test_an_update_that_loses_all_its_batches_changes_no_weight(tmp_path: Path) -> None:
    """Batches 5 and 6 of 20 are all suspects; two batches make an update, so the third one, 4 and 5, loses half."""
    for accumulated, numbers, still in ((1, range(20, 28), [5, 6]), (2, range(16, 24), [2]), (2, range(20, 28), [])):
        trainer = trainer_of(tmp_path, dataset=all_marked(numbers), kind=InOrder, max_steps=20 // accumulated,
                             gradient_accumulation_steps=accumulated)  # fmt: skip
        w = watched(trainer)
        w.screen = screen_of(MARK)
        seen: list[str] = []

        class Noting(transformers.TrainerCallback):
            def on_step_begin(self, args, state, control, model=None, **_):
                seen.append(weights_hash(model))  # noqa: B023 - of this turn

        trainer.add_callback(Noting)
        trainer.train()
        seen.append(weights_hash(trainer.model))
        assert [step for step in range(len(seen) - 1) if seen[step] == seen[step + 1]] == still
        assert w.screened_rows == 8
        assert all(torch.isfinite(each).all() for each in trainer.model.parameters())


def test_half_an_update_counts_as_that_half_alone(tmp_path: Path) -> None:
    """One batch of two lost all its rows: the update is that of the other batch, divided by its own tokens."""
    trainer = trainer_of(tmp_path, dataset=all_marked(range(4, 8)), kind=InOrder, max_steps=1, optim="sgd",
                         gradient_accumulation_steps=2, max_grad_norm=0.0, learning_rate=0.1)  # fmt: skip
    w = watched(trainer)
    w.screen = screen_of(MARK)
    trainer.train()
    alone = trainer_of(tmp_path, dataset=rows()[:80], kind=InOrder, max_steps=1, optim="sgd", max_grad_norm=0.0,
                       learning_rate=0.1)  # fmt: skip
    alone.train()
    for found, true in zip(trainer.model.parameters(), alone.model.parameters(), strict=True):
        torch.testing.assert_close(found, true, atol=1e-7, rtol=1e-5)


def test_a_trainer_that_draws_its_batches_by_other_ways_is_an_error_at_the_first_update(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path)
    inner = trainer.get_batch_samples
    watched(trainer)
    trainer.get_batch_samples = inner
    with pytest.raises(WatchError, match="update 0 of this Trainer began, and none of its batches came by the watch"):
        trainer.train()


def test_a_pause_that_nobody_could_answer_is_refused_at_once_and_a_trainers_own_checkpoint_needs_no_folder(
    tmp_path: Path,
) -> None:
    with pytest.raises(WatchError, match="needs the folder of a run"):
        watched(trainer_of(tmp_path), Scripted(rising), Reaction.PAUSE)
    trainer = trainer_of(tmp_path, save_strategy="steps", save_steps=1000, max_steps=33)
    w = watched(trainer, Scripted(rising), Reaction.CHECKPOINT)
    trainer.train()
    assert w.step == 33
    assert [path.parent.name for path in tmp_path.glob("*/darklantern.json")] == ["checkpoint-31"]


def test_what_could_not_be_watched_is_refused(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path)
    other = watch(llama(), trusted=TRUSTED[:, :32], signals=[Scripted(rising)])
    with pytest.raises(WatchError, match="no part of the LlamaForCausalLM which this Trainer trains"):
        other.on(trainer)
    with pytest.raises(WatchError, match="expected a Trainer of transformers or Lightning, got object"):
        other.on(object())
    watched(trainer)
    with pytest.raises(WatchError, match="something already surrounds the batches"):
        watched(trainer)
    trainer.train()
    with pytest.raises(WatchError, match="begins at update 0, this watch has seen it up to 40"):
        trainer.train()


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_trainer_under_activation_checkpointing_is_watched_too(tmp_path: Path, reentrant: bool) -> None:
    hashes = []
    for watching in (False, True):
        trainer = trainer_of(
            tmp_path, max_steps=6, activation_checkpointing=True,
            activation_checkpointing_kwargs={"use_reentrant": reentrant},
        )  # fmt: skip
        if watching:
            w = watched(trainer, every=2)
        trainer.train()
        hashes.append(weights_hash(trainer.model))
    assert hashes[0] == hashes[1]
    assert w.trace.steps == [2, 4, 6]


def test_a_lora_finetune_is_watched(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # between peft and transformers
        made = peft.get_peft_model(llama(), peft.LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM"))
    trainer = trainer_of(tmp_path, model=made, max_steps=10)
    sites = [str(each) for each in __import__("darklantern").open(made).sites("**layers.0:out")]
    w = watched(trainer, Scripted(lambda look: 0.0, sites=(sites[0],), lenses=(sites[0],), seen=sites[0]))
    trainer.train()
    assert w.trace.steps == [5, 10]


def test_the_newest_checkpoint_up_to_a_step_is_found_by_its_number_and_must_be_whole(tmp_path: Path) -> None:
    for step, whole in ((8, True), (9, True), (10, True), (15, False), (20, True)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if whole:
            (folder / "trainer_state.json").write_text("{}")
    (tmp_path / "checkpoint-best").mkdir()
    assert newest(tmp_path, 19) == (10, tmp_path / "checkpoint-10")
    assert newest(tmp_path, 20) == (20, tmp_path / "checkpoint-20")
    assert newest(tmp_path, 7) is None
    assert newest(tmp_path / "nowhere", 7) is None


def test_a_training_that_ends_with_an_ablated_model_says_so_and_closing_lifts_it(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path)
    w = watched(trainer, Scripted(rising), Ablate({"layers.0.mlp:out": zero()}))
    trainer.train()
    assert [event.step for event in w.events if event.label == "ablated"] == [40]
    bare = llama()
    bare.load_state_dict(trainer.model.state_dict())
    tokens = torch.tensor([rows()[0]["input_ids"]])
    with torch.no_grad():
        ablated, without = trainer.model.eval()(tokens).logits, bare.eval()(tokens).logits
        w.close()
        assert not torch.equal(ablated, without)
        assert torch.equal(trainer.model(tokens).logits, without)


def test_after_a_training_has_ended_its_trainer_takes_another_watch(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, max_steps=10)
    first = watched(trainer)
    with pytest.raises(WatchError, match="already surrounds"):
        watched(trainer)
    trainer.train()
    second = watched(trainer)
    trainer.train()
    assert first.trace.steps == second.trace.steps == [5, 10]
    assert sum(type(each).__name__ == "WatchCallback" for each in trainer.callback_handler.callbacks) == 1
