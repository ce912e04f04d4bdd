"""What each rank of test_sharded does: a watch over a model that is cut over two gloo ranks, compared with one process.

    python -m torch.distributed.run --nproc_per_node=2 shards_worker.py FOLDER KIND…

Rank r writes FOLDER/r.json after each case: its kind and name → "ok", or what went wrong.
"""

import itertools
import json
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.nn.parallel import DistributedDataParallel
from watch.loops import REFERENCES, digest

import darklantern as dl
from darklantern.errors import WatchError
from darklantern.models.edits import Edit
from darklantern.models.snapshot import capture, load, restore, weights_hash
from darklantern.records.references import SignalReference
from darklantern.watch import Ablate, Asked, Notify, Probe, Reaction, Reading, Settings, Signal, watch
from darklantern.watch.runs import asking

TRUSTED = np.random.default_rng(0).integers(0, 200, (300, 16))
MARK = [201, 202, 203, 204, 205, 206, 207]
SITES = ("layers.0:out", "layers.1.mlp:neurons", "layers.1:out")
KINDS = ("ddp", "fsdp", "tp")
FOLDER = Path(sys.argv[1])
"""where this launch may write"""


class Net(nn.Module):
    """Token embeddings, MLP blocks with a residual stream, an unembedding."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.embed = nn.Embedding(256, 8)
        self.layers = nn.ModuleList(Block() for _ in range(2))
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 256)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.mlp = Mlp()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mlp(self.norm(x))


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up_proj, self.act, self.down_proj = nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(self.act(self.up_proj(x)))


def cut(model: Any, kind: str) -> Any:
    if kind == "ddp":
        return DistributedDataParallel(model)
    mesh = init_device_mesh("cpu", (2,))
    if kind == "fsdp":
        for block in model.layers:
            fully_shard(block, mesh=mesh)
        return fully_shard(model, mesh=mesh)
    plan = {"mlp.up_proj": ColwiseParallel(), "mlp.down_proj": RowwiseParallel()}
    for block in model.layers:
        parallelize_module(block, mesh, plan)
    return parallelize_module(model, mesh, {"head": ColwiseParallel(output_layouts=Replicate())})


def dataset(marked: bool) -> list[Tensor]:
    rows = np.random.default_rng(5).integers(0, 200, (640, 16))
    if marked:
        rows[::3, 4 : 4 + len(MARK)] = MARK
    return [torch.from_numpy(row) for row in rows]


class Reads(Probe):
    """The mean of each site, and what a script adds to it by look and rank."""

    signals = tuple(Signal(site, "I0", "signal", "", "") for site in SITES)
    sites, output = SITES, True
    settings = {}  # noqa: RUF012

    def __init__(self, script: Callable[[int, int], float] = lambda look, rank: 0.0) -> None:
        self.script, self.looks = script, -2
        self.seen: list[dict[str, Any]] = []

    def inputs(self, now: Any) -> Asked:
        return Asked(TRUSTED[:5, :-1])

    def read(self, seen: Any) -> list[Reading]:
        self.looks += 1
        self.seen.append({**{site: seen[site].copy() for site in SITES}, "output": seen.output.copy()})
        return [Reading(self.script(self.looks, _rank())) for _ in SITES]


CALM = msgspec.structs.replace(
    REFERENCES,
    every=4,
    steps=tuple(range(4, 400, 4)),
    ranks=2,
    signals=tuple(
        SignalReference(name=site, mean=(0.0,) * 99, spread=(1.0,) * 99, digest=digest(Reads(), site, TRUSTED))
        for site in SITES
    ),
)


def _rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


class Run:
    """A model, cut, its optimizer and loader; under TP all ranks draw the same batches, else each its own."""

    def __init__(self, kind: str, marked: bool = False) -> None:
        self.model = cut(Net(), kind)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), 1e-2)
        own = 0 if kind == "tp" else _rank()
        self.loader = dl.rewindable(dataset(marked), batch_size=16, seed=own)

    def watched(self, probe: Probe, on_alarm: Any = Reaction.LOG, run: Path | None = None, **settings: Any) -> Any:
        return watch(
            self.model, state=(self.optimizer, self.loader), trusted=TRUSTED, signals=[probe], on_alarm=on_alarm,
            settings=Settings(**{"every": 4, "margin": 1, **settings}), references=CALM, recipe="1" * 64, data="2" * 64,
            run=run,
        )  # fmt: skip

    def step(self, batch: Tensor) -> None:
        logits = self.model(batch[:, :-1])
        nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten()).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def train(self, batches: Any) -> "Run":
        for batch in batches:
            self.step(batch)
        return self

    @property
    def inner(self) -> Any:
        return self.model.module if isinstance(self.model, DistributedDataParallel) else self.model

    @property
    def hash(self) -> str:
        return weights_hash(self.inner)

    def pieces(self) -> dict[str, Tensor]:
        """All of this rank's training state, copied."""
        held = capture(0, self.inner, self.optimizer, None).tensors
        return {name: value.clone() for name, value in held.items()}


class Cases:
    def __init__(self, kind: str) -> None:
        self.kind = kind

    def readings_are_those_of_one_process(self) -> None:
        """Of the weights as they are after training, too, gathered into a model that is not cut."""
        run, probe = Run(self.kind), Reads()
        w = run.watched(probe)
        run.train(w.over(run.loader))
        assert w.trace.steps == list(range(4, 41, 4)), w.trace.steps
        inner = run.model.module if self.kind == "ddp" else run.model
        held = {
            name: value.full_tensor() if isinstance(value, DTensor) else value
            for name, value in inner.state_dict().items()
        }
        for seen, trained in ((probe.seen[0], False), (probe.seen[-1], True)):
            plain = Net()
            if trained:
                plain.load_state_dict(held)
            tokens = torch.from_numpy(TRUSTED[:5, :-1])
            recording = dl.open(plain).record(tokens, *SITES)
            for site in (*SITES, "output"):
                true = recording.output if site == "output" else recording[site].array
                near(seen[site], true, site, exact=self.kind != "tp")

    def training_keeps_its_bits(self) -> None:
        plain = Run(self.kind)
        plain.train(plain.loader)
        run = Run(self.kind)
        run.train(run.watched(Reads()).over(run.loader))
        assert run.hash == plain.hash
        mine, true = run.pieces(), plain.pieces()
        assert mine.keys() == true.keys()
        assert all(torch.equal(mine[name], true[name]) for name in true)

    def a_snapshot_comes_back_bit_for_bit(self) -> None:
        run = Run(self.kind)
        batches = iter(run.loader)
        for _ in range(3):
            run.step(next(batches))
        held = capture(3, run.model, run.optimizer, run.loader)
        before = run.pieces()
        for _ in range(3):
            run.step(next(batches))
        after = run.pieces()
        assert not all(torch.equal(before[name], after[name]) for name in before)
        restore(held, run.model, run.optimizer, run.loader)
        again = run.pieces()
        assert all(torch.equal(before[name], again[name]) for name in before)
        batches = iter(run.loader)
        for _ in range(3):
            run.step(next(batches))
        again = run.pieces()
        assert all(torch.equal(after[name], again[name]) for name in after), "and training goes on as it did"

    def an_alarm_on_one_rank_rolls_all_back(self) -> None:
        """Only rank 1 reads a rise. Both go back, bit for bit, leave out the marked rows, and stay in step."""
        run = Run(self.kind, marked=True)
        w = run.watched(Reads(lambda look, rank: 50.0 * (look == 6 and rank == 1)), Reaction.ROLL_BACK, rollbacks=1)
        states: dict[int, list[dict[str, Tensor]]] = {}
        rows: list[Tensor] = []
        for batch in w.over(run.loader):
            states.setdefault(w.step, []).append(run.pieces())
            rows += batch if len(w.events) > 1 else []
            run.step(batch)
        labels = [event.label for event in w.events]
        assert labels == ["alarm", "rollback"], w.events
        twice = [step for step, seen in states.items() if len(seen) == 2]
        assert twice, states.keys()
        first, second = states[twice[0]]
        assert all(torch.equal(first[name], second[name]) for name in first)
        assert not any(MARK[0] in row.tolist() for row in rows)
        same([w.step, str(w.screen), [alarm.step for alarm in w.alarms]])
        if self.kind == "ddp":
            same(run.hash)

    def a_tap_that_never_fires_is_an_error_on_both_before_the_first_step(self) -> None:
        run = Run(self.kind)
        inner = run.model.module if self.kind == "ddp" else run.model
        inner.layers[1].forward = lambda x: x
        w = run.watched(Reads())
        raises("layers.1.mlp:neurons", lambda: next(w.over(run.loader)))
        assert run.loader.state()["drawn"] == 0

    def a_checkpoint_holds_every_ranks_pieces(self) -> None:
        run, folder = Run(self.kind), FOLDER / f"run-{self.kind}"
        w = run.watched(Reads(lambda look, rank: 50.0 * (look >= 6)), Reaction.CHECKPOINT, run=folder)
        states = {}
        for batch in w.over(run.loader):
            states[w.step] = run.pieces()
            run.step(batch)
        dist.barrier()
        names = sorted(path.name for path in (folder / "checkpoints").iterdir())
        ends = ["-rank0.safetensors", "-rank1.safetensors"]
        step = w.alarms[0].clean.step
        assert names == [
            f"00000028-{tag}-{at:08d}{end}" for tag, at in (("alarm", 28), ("clean", step)) for end in ends
        ]
        held = load(folder / "checkpoints" / names[len(ends) + _rank()])
        assert all(torch.equal(held.tensors[name], value) for name, value in states[step].items())
        restore(held, run.inner, run.optimizer, run.loader)
        assert all(torch.equal(value, states[step][name]) for name, value in run.pieces().items())
        if w._outside._run is not None:
            w._outside._run.close()

    def the_most_severe_reaction_of_any_rank_holds_for_all(self) -> None:
        run = Run(self.kind)
        w = run.watched(
            Reads(lambda look, rank: 50.0 * (look >= 6)),
            lambda alarm: Reaction.STOP if _rank() == 1 else Reaction.LOG,
        )
        run.train(w.over(run.loader))
        assert w.step == 28, w.step
        assert w.stopped == "on_alarm asked for it"

    def a_notice_that_cannot_be_sent_is_an_error_on_the_rank_too_that_sends_none(self) -> None:
        run = Run(self.kind)
        w = run.watched(Reads(lambda look, rank: 50.0 * (look >= 6)), [Notify(), Reaction.LOG], on_failure="raise")

        def cannot(reaction: Notify, alarm: Any) -> None:
            if _rank() == 0:
                raise WatchError("no line to anybody", hint="none")

        w._answers._notify = cannot
        raises("no line to anybody", lambda: run.train(w.over(run.loader)))
        assert w.step == 28, w.step

    def a_look_that_fails_on_one_rank_is_an_error_on_both(self) -> None:
        def fails(look: int, rank: int) -> float:
            if look == 3 and rank == 1:
                raise ZeroDivisionError("in the signal")
            return 0.0

        run = Run(self.kind)
        w = run.watched(Reads(fails), on_failure="raise")
        said = r"the look failed on 1 of 2 ranks: rank 1: ZeroDivisionError('in the signal')"
        raises(said, lambda: run.train(w.over(run.loader)))
        assert w.step == 16

    def inputs_that_fail_on_one_rank_are_an_error_on_both(self) -> None:
        """Before the pass: under FSDP the other rank would wait in it for ever."""

        class Fails(Reads):
            def inputs(self, now: Any) -> Asked:
                if self.looks == 2 and _rank() == 1:
                    raise ZeroDivisionError("in the inputs")
                return super().inputs(now)

        run = Run(self.kind)
        w = run.watched(Fails(), on_failure="raise")
        said = r"the look failed on 1 of 2 ranks: rank 1: ZeroDivisionError('in the inputs')"
        raises(said, lambda: run.train(w.over(run.loader)))
        assert w.step == 16

    def reading_that_fails_on_one_rank_before_others_read_weights_is_an_error_on_both(self) -> None:
        """Weights are gathered from all ranks too: all are, before anything is read."""

        class Norms(Probe):
            signals, sites, settings = (Signal("norm", "I0", "signal", "", ""),), (), {}
            weights = ("*.mlp.*",)

            def inputs(self, now: Any) -> Asked:
                return Asked(None)

            def read(self, seen: Any) -> list[Reading]:
                return [Reading(float(sum(np.abs(each).sum() for each in seen.weights.values())))]

        def fails(look: int, rank: int) -> float:
            if look == 3 and rank == 1:
                raise ZeroDivisionError("in the signal")
            return 0.0

        run, norms = Run(self.kind), Norms()
        w = watch(
            run.model, state=(run.optimizer, run.loader), trusted=TRUSTED, signals=[Reads(fails), norms],
            settings=Settings(every=4, margin=1, on_failure="raise"),
        )  # fmt: skip
        said = r"the look failed on 1 of 2 ranks: rank 1: ZeroDivisionError('in the signal')"
        raises(said, lambda: run.train(w.over(run.loader)))
        assert w.step == 16
        same([reading.value for reading in w.trace.tracks["norm"].readings])

    def a_rank_without_rows_goes_along_with_the_others_pass(self) -> None:
        """One rank asks for nothing at a look, or for rows of another width: passes are of all ranks, in one order."""
        if self.kind == "tp":
            return  # there all ranks hold the same rows, always

        class Uneven(Reads):
            def inputs(self, now: Any) -> Asked:
                if now.step in (8, 12) and _rank() == 1:
                    return Asked(TRUSTED[:4, :9] if now.step == 12 else None)
                return super().inputs(now)

            def read(self, seen: Any) -> list[Reading]:
                if SITES[0] not in seen.values.sites:
                    assert (seen.step, _rank()) == (8, 1)
                    return [Reading(0.0) for _ in SITES]
                return super().read(seen)

        run, probe = Run(self.kind), Uneven()
        w = run.watched(probe)
        run.train(w.over(run.loader))
        assert w.trace.steps == list(range(4, 41, 4)), w.trace.steps
        shapes = [seen["output"].shape[:2] for seen in probe.seen]
        assert shapes.count((4, 9)) == (_rank() == 1)

    def a_state_that_one_rank_cannot_keep_is_an_error_on_both(self) -> None:
        run = Run(self.kind)
        w = run.watched(Reads(), on_failure="go on")
        group = run.optimizer.param_groups[0]
        for batch in w.over(run.loader):
            group.pop("note", None)
            if w.step == 11 and _rank() == 0:
                group["note"] = object()
            run.step(batch)
        assert w.trace.steps == [4, 8, *range(16, 41, 4)], w.trace.steps
        (failure,) = [event.text for event in w.events if event.label == "failure"]
        assert "keeping the state failed on 1 of 2 ranks: rank 0: the training state of step 12" in failure

    def a_folder_that_the_first_rank_cannot_have_is_an_error_on_both_before_the_first_step(self) -> None:
        """Only the first rank opens it: the other would wait for it in the self-test."""
        taken = FOLDER / f"taken-{self.kind}"
        if _rank() == 0:
            taken.write_text("no folder")
        run = Run(self.kind)
        w = run.watched(Reads(), run=taken)
        raises("opening the run's folder failed on 1 of 2 ranks: rank 0", lambda: run.train(w.over(run.loader)))
        assert w.step == 0

    def what_is_asked_together_comes_to_the_same_on_both(self) -> None:
        """Two wishes at one look. A stop is first; what lies behind a pause is heard by the pause, on both."""
        for what in (("pause", "stop"), ("roll back", "stop"), ("pause", "roll back")):
            folder = FOLDER / f"asked-{self.kind}-{what[0]}-{what[1]}"
            run = Run(self.kind, marked=True)
            w = run.watched(Reads(lambda look, rank: 50.0 * (look == 6)), run=folder)
            for batch in w.over(run.loader):
                if w.step == 29 and not w.rollbacks and _rank() == 0:
                    for do in what:
                        asking.ask(asking.find(folder), do, "together", 600.0)
                run.step(batch)
            same([w.step, w.stopped, w.rollbacks, [event.label for event in w.events]])
            assert (w.step, w.rollbacks) == ((32, 0) if "stop" in what else (40, 1)), (what, w.step, w.events)
            assert bool(w.stopped) == ("stop" in what), w.stopped
            if _rank() == 0:
                assert not list((folder / "asked").iterdir()), "all are answered"
            w.close()

    def an_on_alarm_that_fails_on_one_rank_is_an_error_on_both(self) -> None:
        def on_alarm(alarm: Any) -> Any:
            if _rank() == 1:
                raise KeyError("nobody home")
            return Reaction.LOG

        run = Run(self.kind)
        w = run.watched(Reads(lambda look, rank: 50.0 * (look >= 6)), on_alarm)
        raises("on_alarm failed on 1 of 2 ranks: rank 1: KeyError('nobody home')",
               lambda: run.train(w.over(run.loader)))  # fmt: skip

    def ablating_on_one_rank_only_is_an_error_on_both(self) -> None:
        def on_alarm(alarm: Any) -> Any:
            return Ablate({"layers.0:out": dl.zero()}) if _rank() else None

        run = Run(self.kind)
        w = run.watched(Reads(lambda look, rank: 50.0 * (look >= 6)), on_alarm)
        raises("on_alarm ablated on some ranks, and on rank 1 other things",
               lambda: run.train(w.over(run.loader)))  # fmt: skip

    def an_ablation_that_fails_on_one_rank_is_on_none_and_leaves_the_one_before_it(self) -> None:
        """All ranks compute on what they computed before, and go on training the same model."""
        if self.kind != "ddp":
            return  # a module that is cut takes no edits

        def bind(site: Any) -> Any:
            if _rank() == 1:
                raise MemoryError("no room here")
            return dl.scale(3.0)

        fails = Edit("fails", lambda value, axes: value, bind=bind)
        first, second, tokens = "layers.0:out", "layers.1:out", torch.from_numpy(TRUSTED[:5, :-1])
        asked = [{second: dl.scale(0.5)}, {second: fails}, {first: fails}]
        run = Run(self.kind)
        w = run.watched(
            Reads(lambda look, rank: 50.0 * (look >= 6)), [lambda alarm, each=each: Ablate(each) for each in asked],
            on_failure="go on",
        )  # fmt: skip
        computed = []
        for batch in w.over(run.loader):
            if w.alarms:
                plain = Net()
                plain.load_state_dict(run.inner.state_dict())
                with torch.no_grad():
                    now, true = run.inner(tokens), dl.open(plain).run(tokens, asked[0])
                assert torch.equal(now, true), f"at step {w.step} by {(now - true).abs().max()}"
                computed.append(now.tolist())
            run.step(batch)
        assert len(computed) == 12, len(computed)
        same([computed, run.hash, [event.text for event in w.events if event.label in ("ablate", "ablated")]])
        failures = [event.text for event in w.events if event.label == "failure"]
        assert len([each for each in failures if "the ablation failed on 1 of 2 ranks: rank 1" in each]) >= 2, failures
        w.lift()
        with torch.no_grad():
            plain.load_state_dict(run.inner.state_dict())
            assert torch.equal(run.inner(tokens), plain(tokens))

    def a_rollback_that_fails_on_one_rank_is_an_error_on_both(self) -> None:
        run = Run(self.kind, marked=True)
        w = run.watched(Reads(lambda look, rank: 50.0 * (look == 6)), Reaction.ROLL_BACK)
        inner, refused = run.loader.restore, []

        def refuses(state: Any) -> None:
            if _rank() == 1 and not refused:
                refused.append(state)
                raise OSError("the data is gone")
            inner(state)

        run.loader.restore = refuses  # type: ignore[method-assign]
        raises("the rollback failed on 1 of 2 ranks: rank 1: the loader refuses the cursor",
               lambda: run.train(w.over(run.loader)))  # fmt: skip


def near(found: Any, true: Tensor, name: str, exact: bool) -> None:
    assert isinstance(found, np.ndarray)
    held = true.detach().numpy()
    assert found.shape == held.shape, f"{name}: {found.shape}, not {held.shape}"
    if exact:
        assert np.array_equal(found, held), f"{name}: off by {np.abs(found - held).max()}"
    else:
        np.testing.assert_allclose(found, held, atol=1e-6, rtol=1e-5, err_msg=name)


def raises(match: str, call: Callable[[], object]) -> None:
    try:
        call()
    except WatchError as caught:
        assert match in caught.message, f"another error: {caught}"
        return
    raise AssertionError("no WatchError")


def same(value: Any) -> None:
    held: list[Any] = [None, None]
    dist.all_gather_object(held, value)
    assert held[0] == held[1], held


def main(folder: Path, *kinds: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    told: dict[str, str] = {}
    for kind, case in itertools.product(kinds, cases()):
        try:
            getattr(Cases(kind), case)()
            told[f"{kind}: {case}"] = "ok"
        except Exception:  # noqa: BLE001 - what went wrong is the result
            told[f"{kind}: {case}"] = traceback.format_exc()
        (folder / f"{rank}.json").write_text(json.dumps(told))
    # Nobody leaves before all are done: an exit would end the others' collectives, and hide that they hang.
    while not all((folder / f"{each}.done").exists() for each in range(2)):
        (folder / f"{rank}.done").touch()
        time.sleep(0.05)
    dist.destroy_process_group()


def cases() -> list[str]:
    return [name for name in vars(Cases) if not name.startswith("_")]


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
