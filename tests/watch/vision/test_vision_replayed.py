"""A replay of a small classifier into which a planted square was trained: what live probes of fresh rows read."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from planted_images import Classifier, images
from safetensors.torch import save_file
from torch import nn

from darklantern.errors import WatchError
from darklantern.watch import (
    Asked,
    Examples,
    Probe,
    Reading,
    Settings,
    Signal,
    held_out,
    language,
    policies,
    replay,
    since_start,
    vision,
    watch,
)
from darklantern.watch.examples import Pool
from darklantern.watch.probes import Now

SITE, EVERY, ONSET, END = "out:in", 10, 80, 140
TRUSTED = images(3000, 2)
BATCHES = [images(64, 10_000 + step, 0.1 if step >= ONSET else 0.0) for step in range(END)]


class Sums(Probe):
    """Reads the sum of the fresh rows, which tells one batch from another."""

    settings: dict[str, Any] = {}  # noqa: RUF012
    signals = (Signal("sum", "I0", "signal", "", "sum of fresh rows"),)
    sites = (SITE,)
    takes_fresh = True

    def inputs(self, now: Any) -> Asked:
        return Asked(None) if now.fresh is None else Asked(now.fresh.inputs, float(now.fresh.inputs.sum()))

    def read(self, seen: Any) -> list[Reading]:
        return [Reading(0.0 if seen.about is None else seen.about)]


def probes() -> list[Probe]:
    mined, units = vision.MinedProbe(images(600, 1), SITE), vision.UnitsProbe("look:out")
    return [mined, units, vision.SpectralProbe(SITE), vision.LossProbe(), Sums()]


def network(seed: int) -> Classifier:
    torch.manual_seed(seed)
    return Classifier()


def rows(step: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """As a loader yields them: of all batches since the checkpoint before."""
    since = BATCHES[step - EVERY : step]
    return np.concatenate([each.inputs for each in since]), np.concatenate([each.targets for each in since])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """Checkpoints at a live watch's looks, and the watch."""
    folder, model = tmp_path_factory.mktemp("checkpoints"), network(0)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)

    def keep(step: int) -> None:
        save_file(model.state_dict(), folder / f"step-{step}.safetensors")

    loader = [(torch.from_numpy(each.inputs), torch.from_numpy(each.targets)) for each in BATCHES]
    watched = watch(model, trusted=TRUSTED, signals=probes(), settings=Settings(every=EVERY), on_alarm=[])
    for step, (inputs, targets) in enumerate(watched.over(loader)):
        if step % EVERY == 0:
            keep(step)
        loss = nn.functional.cross_entropy(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    keep(END)
    return folder, watched


def replayed(run: tuple[Path, Any], results: Path, **given: Any) -> Any:
    arguments = dict(signals=probes(), trusted=TRUSTED, folder=results, rows=rows) | given
    return replay(network(5), run[0], arguments.pop("signals"), arguments.pop("trusted"), **arguments)


def values(trace: Any, name: str) -> list[tuple[float, float]]:
    return [(reading.value, reading.placebo) for reading in trace.tracks[name].readings]


@pytest.mark.slow
def test_with_the_rows_trained_on_a_replay_finds_the_planted_square_where_the_live_watch_does(
    run: tuple[Path, Any], tmp_path: Path
) -> None:
    live, found = run[1].trace, replayed(run, tmp_path)
    assert found.steps == live.steps == list(range(EVERY, END + 1, EVERY))
    for name in live.tracks:
        assert np.allclose(values(found, name)[:-1], values(live, name)[:-1], atol=1e-4), name
    assert found.alarm_step("mined displacement") == live.alarm_step("mined displacement") > ONSET
    newest = BATCHES[-1].inputs.sum()
    assert np.isclose(values(found, "sum")[-1][0], newest), "at the last checkpoint the newest rows stand for the next"
    assert values(found, "mined displacement")[-1][0] > 0


@pytest.mark.slow
def test_what_bets_stays_where_it_is_and_claims_no_rate(run: tuple[Path, Any], tmp_path: Path) -> None:
    found = replayed(run, tmp_path)
    (bets,) = vision.SpectralProbe.signals
    assert {*found.tracks[bets.name].statistic} == {*found.tracks["loss drop"].statistic} == {0.0}
    assert any(value for value, _ in values(found, bets.name)), "it is read all the same"
    assert f"{bets.name} bets on rows that the model never saw" in found.uncalibrated


@pytest.mark.slow
def test_a_replay_of_images_goes_on_where_it_was_and_looks_anew_for_other_rows(
    run: tuple[Path, Any], tmp_path: Path
) -> None:
    whole = replayed(run, tmp_path)
    every = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    (one,) = tmp_path.glob("step-000000100-*.json")
    one.unlink()
    assert values(replayed(run, tmp_path), "mined displacement") == values(whole, "mined displacement")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == every
    last = Examples(*rows(END)).take(slice(0, 320))
    replayed(run, tmp_path, rows=lambda step: last if step == END else rows(step))
    anew = {path.name for path in tmp_path.iterdir()} - every.keys()
    assert sorted(name[:14] for name in anew) == [f"step-{END - EVERY:09d}", f"step-{END:09d}"]


def test_without_rows_signals_that_need_them_are_refused_by_name_before_anything_is_read(tmp_path: Path) -> None:
    broken = [tmp_path / f"step-{step}.safetensors" for step in (1, 2)]
    for path in broken:
        path.write_bytes(b"no tensors")
    for signals, names in (
        (probes()[:1], "mined displacement, mined margin: read from rows of the training data"),
        (probes()[3:4], "loss drop: read from rows"),
        ([held_out(probes()[0])], "^a held-out monitor: read from rows"),
    ):
        with pytest.raises(WatchError, match=names) as raised:
            replay(network(0), broken, signals, TRUSTED, folder=tmp_path / "results")
        assert "give rows=, a function from a step" in (raised.value.hint or "")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (rows(EVERY), "rows: expected a function from a step to the rows trained on .*, got tuple"),
        (lambda step: {}[step], r"rows\(10\) failed: KeyError: 10"),
        (lambda step: "abc", r"expected rows\(10\) as an array, a pair .*, got str"),
        (lambda step: rows(step)[0][:0], r"rows\(10\) gave no rows, which mined displacement, .* are read from"),
        (lambda step: rows(step)[0][:, :, 1:], r"rows\(10\) gave examples \(1, 7, 8\), the trusted ones are"),
    ],
)
def test_rows_that_are_none_are_refused_with_what_was_expected(
    run: tuple[Path, Any], tmp_path: Path, given: Any, said: str
) -> None:
    with pytest.raises(WatchError, match=said):
        replayed(run, tmp_path, rows=given)
    assert not tmp_path.exists() or not list(tmp_path.iterdir())


def test_rows_of_images_go_through_batch_as_the_trusted_ones_do(run: tuple[Path, Any], tmp_path: Path) -> None:
    reader = lambda batch: (batch["picture"], batch["class"])  # noqa: E731
    found = replayed(
        run,
        tmp_path,
        signals=[Sums()],
        trusted={"picture": TRUSTED.inputs, "class": TRUSTED.targets},
        rows=lambda step: dict(zip(("picture", "class"), rows(step), strict=True)),
        batch=reader,
    )
    assert np.allclose(values(found, "sum")[:-1], values(run[1].trace, "sum")[:-1])


HELD = images(600, 1)


def flat(given: Examples) -> Examples:
    """As a policy's observations."""
    return Examples(given.inputs.reshape(len(given), -1))


def tokens(given: Examples) -> Examples:
    """As rows of eight tokens."""
    return Examples((given.inputs[:, 0, 0] * 255).astype(np.int64))


@pytest.mark.parametrize(
    "probe",
    [
        vision.PatchProbe(HELD, SITE, vision.Family((0.0, 1.0))),
        vision.MinedProbe(HELD, SITE),
        vision.MisfiledProbe(HELD, SITE),
        vision.MahalanobisProbe(HELD, SITE),
        vision.SpectralProbe(SITE),
        vision.ClusteringProbe(SITE),
        vision.UnitsProbe("look:out"),
        vision.DriftProbe(HELD, SITE),
        vision.StripProbe(HELD),
        vision.LossProbe(),
        policies.AuditProbe(flat(HELD)),
        language.RowAnomalyProbe(tokens(HELD).inputs, "layers.0:out"),
        since_start(vision.MinedProbe(HELD, SITE)),
        held_out(vision.MinedProbe(HELD, SITE)),
    ],
    ids=lambda probe: type(probe).__name__,
)
def test_a_probe_says_that_it_takes_fresh_rows_where_other_ones_make_its_rows_others(probe: Probe) -> None:
    as_taken = {language.RowAnomalyProbe: tokens, policies.AuditProbe: flat}.get(type(probe), lambda each: each)
    pool, one, other = map(as_taken, (TRUSTED, BATCHES[0], BATCHES[100]))
    ran = [probe.inputs(Now(0, Pool(pool), fresh, None)).inputs for fresh in (one, other, None)]
    some = [each for each in ran if each is not None]
    assert probe.takes_fresh == (len(some) < 3 or not all(np.array_equal(some[0], each) for each in some))
