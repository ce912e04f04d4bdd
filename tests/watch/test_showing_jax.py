"""A JAX loop is shown, filed and replayed as a torch loop is."""

import pytest

pytest.importorskip("jax", reason="needs the extra jax")

import numpy as np
from safetensors.numpy import load_file, save_file
from watch.jax_loops import CORPUS, LM, RECIPE, Marked, fresh, plain
from watch.loops import TRUSTED

from darklantern.errors import WatchError
from darklantern.watch import Asked, Probe, Reading, Settings, Signal, replay, watch


class Size(Probe):
    """The size of what one site holds, and a jump at step 30."""

    settings = {}  # noqa: RUF012
    signals = (
        Signal("size", "I0", "signal", "", "mean absolute value"),
        Signal("jump", "I0", "signal", "", "jumps"),
    )
    sites = ("layers.0:out",)

    def inputs(self, now):
        return Asked(TRUSTED[:3, :-1])

    def read(self, seen):
        jump = 50.0 if seen.step >= 30 else 0.05 * (seen.step % 2)
        return Reading(float(np.abs(seen["layers.0:out"]).mean())), Reading(jump)


def flat(tree, prefix=""):
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", np.asarray(value)


def whole(path):
    """The training state whose parameters a file holds."""
    params = {}
    for name, value in load_file(path).items():
        *parents, last = name.split("/")
        place = params
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return fresh()._replace(params=params)


@pytest.mark.slow
def test_an_alarm_is_filed_the_page_is_written_and_the_checkpoints_are_read_again(tmp_path) -> None:
    loader, kept = Marked(CORPUS, RECIPE, (1,)), []
    folder = tmp_path / "checkpoints"
    folder.mkdir()

    def save(w):
        save_file(dict(flat(w.state.params)), folder / f"step-{w.step}.safetensors")

    w = watch(
        LM,
        state=(fresh(), loader),
        trusted=TRUSTED,
        signals=[Size()],
        settings=Settings(every=5, margin=1),
        on_finding=kept.append,
    )
    for batch in w.over(loader):
        if w.step % 5 == 0:
            save(w)
        w.state, _ = plain(w.state, batch)

    (alarm,) = w.alarms
    assert kept[0].finding.title == f"Alarm at step {alarm.step}: jump"
    provenance = kept[0].finding.evidence[0].provenance
    assert "jax" in provenance.versions and len(provenance.model) == 64
    assert "size" in w.report(tmp_path / "watch.html").read_text()

    trace = replay(LM, folder, [Size()], TRUSTED, folder=tmp_path / "results", load=whole)
    assert trace.steps == w.trace.steps[: len(trace.steps)]
    read, expected = ([r.value for r in t.tracks["size"].readings] for t in (trace, w.trace))
    assert np.allclose(read, expected[: len(read)], atol=1e-5)
    with pytest.raises(WatchError, match="give load="):
        replay(LM, folder, [Size()], TRUSTED, folder=tmp_path / "results")
