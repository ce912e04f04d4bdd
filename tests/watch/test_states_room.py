"""What states take of memory, and what comes where there is no room for them."""

import pytest
import torch
from watch.loops import CORPUS, RECIPE, Marked, Scripted, parts, rising, run, start

from darklantern.errors import WatchError
from darklantern.models.snapshot import capture
from darklantern.organisms import training
from darklantern.watch import Reaction
from darklantern.watch.attach.memory import free_bytes
from darklantern.watch.attach.torch_loop import TorchTap, tap
from darklantern.watch.keeping import MANY


@pytest.mark.parametrize("kind", ["AdamW", "SGD", "SGD with momentum"])
def test_what_a_state_takes_is_known_before_the_first_step(kind: str) -> None:
    model, _, loader = parts()
    made = {
        "AdamW": lambda: torch.optim.AdamW(model.parameters(), 1e-3),
        "SGD": lambda: torch.optim.SGD(model.parameters(), 1e-3),
        "SGD with momentum": lambda: torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9),
    }
    optimizer = made[kind]()
    before = tap(model, (optimizer, loader)).state_bytes()
    batch = next(iter(loader))
    training.loss_nats(model(batch[:, :-1]), batch[:, 1:]).backward()
    optimizer.step()
    optimizer.zero_grad()
    held = capture(1, model, optimizer, loader)
    assert tap(model, (optimizer, loader)).state_bytes() == held.nbytes
    steps = sum(value.nbytes for name, value in held.tensors.items() if name.endswith(".step"))
    assert before == held.nbytes - steps, "all but Adam's counts of steps"


def test_gradients_that_stand_count_and_those_that_may_come_to_stand_are_known_before() -> None:
    model, optimizer, loader = parts()
    model.norm.weight.requires_grad_(False)
    found = tap(model, (optimizer, loader))
    bare, more = found.state_bytes(), found.gradient_bytes()
    batch = next(iter(loader))
    training.loss_nats(model(batch[:, :-1]), batch[:, 1:]).backward()
    held = capture(0, model, optimizer, loader)
    gradients = sum(value.nbytes for name, value in held.tensors.items() if name.startswith("gradient."))
    assert gradients > 0
    assert (more, found.state_bytes()) == (gradients, bare + gradients)
    assert found.gradient_bytes() == 0, "they are counted once"
    assert tap(model, None).gradient_bytes() == 0, "no states, no gradients in them"


def test_states_with_room_only_as_long_as_no_gradients_stand_are_kept_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, optimizer, loader = parts()
    each = tap(model, (optimizer, loader)).state_bytes()
    monkeypatch.setattr(TorchTap, "room", lambda self: 7 * each)
    w, _ = start(Scripted(rising), of=(model, optimizer, loader))
    (said,) = [event.text for event in w.events if event.label == "states"]
    assert "where gradients stand at a look, as they do without zero_grad() right after an update; " in said
    monkeypatch.setattr(TorchTap, "room", lambda self: 9 * each)
    w, _ = start(Scripted(rising), of=(model, optimizer, loader))
    assert [event for event in w.events if event.label == "states"] == []


def test_states_that_memory_has_no_room_for_are_refused_when_attaching(monkeypatch: pytest.MonkeyPatch) -> None:
    model, optimizer, loader = parts()
    each = tap(model, (optimizer, loader)).state_bytes()
    monkeypatch.setattr(TorchTap, "room", lambda self: 4 * each)
    with pytest.raises(WatchError, match=r"6 training states of .* kB each take up to .* are free") as refused:
        start(Scripted(rising), of=(model, optimizer, loader))
    assert "Settings(states=1)" in refused.value.hint
    w, made = start(Scripted(rising), Reaction.ROLL_BACK, of=(model, optimizer, loader), states=1, rollbacks=1)
    run(w, made)
    assert "rollback" in [event.label for event in w.events]


def test_what_much_is_taken_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TorchTap, "state_bytes", lambda self: MANY)
    monkeypatch.setattr(TorchTap, "gradient_bytes", lambda self: 0)
    monkeypatch.setattr(TorchTap, "room", lambda self: None)
    w, _ = start(Scripted(rising))
    assert [(event.label, event.text) for event in w.events] == [
        ("states", "6 training states of 1.07 GB each take up to 6.44 GB of memory")
    ]


def test_where_nobody_can_go_back_only_those_states_are_kept_that_a_checkpoint_may_want() -> None:
    class Plain(Marked):
        state = restore = None

    w, made = start(Scripted(rising), of=(*parts()[:2], Plain(CORPUS, RECIPE, (1,))), margin=2, states=4)
    run(w, made)
    assert [event.label for event in w.events] == ["no rollback", "alarm"]
    assert w._keeper.states.history == 2
    assert w.alarm.clean.step == 15
    assert w.alarm.clean.snapshot is not None


def test_free_memory_is_the_containers_where_that_allows_less(tmp_path) -> None:
    meminfo, own = tmp_path / "meminfo", tmp_path / "own"
    meminfo.write_text("MemTotal:  9000 kB\nMemAvailable:  8000 kB\n")
    assert free_bytes(meminfo, tmp_path, own) == 8000 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert free_bytes(meminfo, tmp_path, own) == 8000 * 1024
    (tmp_path / "memory.max").write_text("5000\n")
    assert free_bytes(meminfo, tmp_path, own) == 4000
    assert free_bytes(tmp_path / "none", tmp_path / "neither", own) is None


NAMES = {
    2: ("memory.max", "memory.current", "inactive_file"),
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def group(folder, version: int, most, now: int, cached: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    limit, usage, inactive = NAMES[version]
    (folder / limit).write_text(f"{most}\n")
    (folder / usage).write_text(f"{now}\n")
    (folder / "memory.stat").write_text(f"anon 17\nactive_file 300\n{inactive} {cached}\n")


@pytest.mark.parametrize(
    ("version", "tree", "own"),
    [
        (2, "", "0::/slice/job\n"),
        (2, "unified", "3:cpu,cpuacct:/\n0::/slice/job\n"),
        (1, "memory", "4:memory:/slice/job\n1:cpu:/elsewhere\n0::/\n"),
    ],
)
def test_free_memory_is_that_of_ones_own_group_and_those_around_it_without_the_file_cache(
    tmp_path, version: int, tree: str, own: str
) -> None:
    (tmp_path / "own").write_text(own)
    root = tmp_path / "cgroup" / tree
    free = lambda: free_bytes(tmp_path / "none", tmp_path / "cgroup", tmp_path / "own")  # noqa: E731
    group(root / "slice" / "job", version, 5000, 4500, cached=3000)
    assert free() == 3500, "its own, less what is really used"
    group(root / "slice", version, 6000, 5500, cached=1000)
    assert free() == 1500, "the group around it allows less"
    group(root / "slice" / "other", version, 10, 10)
    assert free() == 1500, "another's limit is none of ours"
    group(root / "slice", version, 6000, 6500)
    assert free() == 0
    (tmp_path / "own").write_text(own.replace("/slice/job", "/../outside"))
    assert free() is None, "nothing here says so"
    group(root, version, 9000, 2000)
    assert free() == 7000, "a container's own group is the root of what it sees"
