"""References from runs that watches left in their folders, and what is unlike the others by its name."""

import json
import os
from pathlib import Path

import msgspec
import numpy as np
import pytest
from watch.loops import REFERENCES, Scripted, parts, run, start
from watch.loops import TRUSTED as ROWS
from watch.recorded_runs import BEGUN, INNER, OUTER, written

from darklantern.errors import RecordError, StoreError, WatchError
from darklantern.records.exact import encode
from darklantern.records.references import References
from darklantern.watch import Reaction, Settings, Signal, calibrate, held_out, watch
from darklantern.watch.collecting import check_seeds, collect, load
from darklantern.watch.digests import hashed
from darklantern.watch.judging import detectors
from darklantern.watch.recording import LOOKS, Look, Recorded, recorded
from darklantern.watch.runs.files import add_line


@pytest.fixture
def clean(tmp_path: Path) -> list[Path]:
    return [written(tmp_path / f"run-{seed}", seed) for seed in range(100, 130)]


def test_the_references_are_those_of_the_contrasts_that_were_read(clean: list[Path], tmp_path: Path) -> None:
    arm = tmp_path / "shifted"
    for seed in range(200, 220):
        written(arm / str(seed), seed)
    made = collect(clean[::-1], {"shifted": [arm]}, made="by a test")
    contrasts = {recorded(folder).begun.seed: recorded(folder).contrasts for folder in clean}
    expected = calibrate(
        contrasts,
        [INNER, OUTER],
        range(100, 106),
        BEGUN.recipe,
        BEGUN.data,
        others={"shifted": {seed: recorded(arm / str(seed)).contrasts for seed in range(200, 220)}},
        every=5,
        steps=range(5, 61, 5),
        digests=BEGUN.digests,
        origin=made.origin,
    )
    assert made == msgspec.structs.replace(expected, versions=BEGUN.versions)
    assert made.origin.made == "by a test"
    assert contrasts[100]["outer"][0] == pytest.approx(np.log(read(clean[0], 1)["readings"]["outer"][0] / 2.0))
    path = tmp_path / "references.json"
    path.write_bytes(encode(made))
    assert load(path) == made
    held = detectors.limits(made, BEGUN.recipe, BEGUN.data, 0.05, 5)
    assert held["joint"].calibrated


def test_an_arm_may_have_other_data_than_the_clean_runs(clean: list[Path], tmp_path: Path) -> None:
    arm = [written(tmp_path / "arm" / str(seed), seed, data="9" * 64) for seed in range(200, 220)]
    made = collect(clean, {"shifted": arm})
    assert (made.data, made.strata[0].calibrated_on) == (BEGUN.data, tuple(range(200, 220)))


def read(folder: Path, line: int) -> dict:
    return json.loads((folder / LOOKS).read_text().splitlines()[line])


def test_how_many_standardise_is_a_fifth_and_at_least_five_or_what_you_say(clean: list[Path]) -> None:
    assert collect(clean).standardised_on == tuple(range(100, 106))
    assert collect(clean[:24]).standardised_on == tuple(range(100, 105))
    assert collect(clean, standardise=9).standardised_on == tuple(range(100, 109))
    with pytest.raises(WatchError, match="19 to calibrate on, got 5 and 5"):
        collect(clean[:10])
    with pytest.raises(WatchError, match="expected folders of clean runs, got none"):
        collect([])


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"signals": (INNER,)}, "signals"),
        ({"digests": {"inner": "1" * 64, "outer": "3" * 64}}, "settings of probes or watch .*: of 'outer'"),
        ({"every": 10}, "steps between looks .*: 10 and 5"),
        ({"looks": 11}, "steps of looks .*: 11 and 12"),
        ({"recipe": "9" * 64}, "recipe"),
        ({"data": "9" * 64}, "data"),
        ({"ranks": 2}, "number of ranks .*: 2 and 1"),
        ({"versions": {"python": "3.12", "numpy": "2", "torch": "2"}}, "versions .*'python'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_run_that_is_unlike_the_others_is_named_with_what_differs(
    clean: list[Path], tmp_path: Path, changes, what: str
) -> None:
    if changes.get("signals"):
        changes |= {"looks": 0}
    other = written(tmp_path / "other", 500, **changes)
    if "signals" in changes:
        add_line(other / LOOKS, Look(step=5, looks=1, readings={"inner": (0.0, 0.0)}), sync=False)
    with pytest.raises(WatchError, match=rf"the run in {other} has other {what.split()[0]}"):
        collect([*clean, other])
    if "data" in changes:  # an arm differs in that
        return
    with pytest.raises(WatchError, match=f"has other {what}"):
        collect(clean, {"an arm": [other]})


def test_a_seed_that_probes_took_from_their_run_is_named_with_the_way_out(tmp_path: Path) -> None:
    def one(seed: int, rows: int = 64, spans: str = "ab12") -> Path:
        digests = {"inner": "1" * 64, "outer": hashed(f"{seed} {rows} {spans}")}
        settings = {"inner": {"rows": 8}, "outer": {"seed": seed, "rows": rows, "spans": spans}}
        return written(tmp_path / f"{seed}-{rows}-{spans}", seed, digests=digests, settings=settings)

    with pytest.raises(WatchError) as refused:
        collect([one(1), one(2)])
    assert refused.value.message == (
        f"the run in {tmp_path / '2-64-ab12'} has other settings of probes or watch than the one in "
        f"{tmp_path / '1-64-ab12'}: of 'outer' (seed 2 and 1)"
    )
    assert "one fixed seed, such as SpanProbe(rows, seed=0)" in refused.value.hint
    with pytest.raises(WatchError, match=r"of 'outer' \(rows 32 and 16, seed 4 and 3, spans cd and ab12\)"):
        collect([one(3, 16), one(4, 32, "cd")])


def test_runs_of_one_seed_or_of_the_same_readings_are_refused_by_name(clean: list[Path], tmp_path: Path) -> None:
    twin = written(tmp_path / "twin", 103, drawn=9)
    with pytest.raises(WatchError, match=f"run-103 and {twin} have one seed, 103"):
        collect([*clean, twin])
    idle = written(tmp_path / "idle", 777, drawn=104)
    with pytest.raises(WatchError, match=f"run-104 and {idle} read the same to the last digit"):
        collect([*clean, idle])


def test_what_is_wrong_in_seeds_is_said_before_a_run_is_spent(tmp_path: Path) -> None:
    arm = [written(tmp_path / "arm" / str(seed), seed, data="9" * 64) for seed in range(200, 219)]
    check_seeds(range(24), {"shifted": arm})
    check_seeds(range(28), standardise=9)
    for wrong, seeds, arms, standardise in (
        ("19 to calibrate on, got 5 and 18\n", range(23), {}, None),
        ("to standardise on and 19 to calibrate on, got 3 and 0\n", range(3), {}, None),
        ("19 to calibrate on, got 9 and 18\n", range(27), {}, 9),
        ("19 to calibrate on, got 5 and 18 of shifted\n", range(24), {"shifted": arm[1:]}, None),
        ("an arm is called 'clean'", range(24), {"clean": arm}, None),
        (f"the run of shifted in {arm[3]} has seed 203, which is also one of", range(203, 230), {"shifted": arm}, None),
        ("nowhere holds no whole record of a run", range(24), {"shifted": ["nowhere"]}, None),
        ("have one seed, 200", range(24), {"a": arm, "b": [written(tmp_path / "b", 200, drawn=9), *arm[1:]]}, None),
    ):
        with pytest.raises(WatchError, match=wrong):
            check_seeds(seeds, arms, standardise=standardise)
    other = written(tmp_path / "other", 300, every=7)
    with pytest.raises(WatchError, match="has other steps between looks"):
        check_seeds(range(24), {"shifted": [*arm, other]})


def test_runs_of_a_framework_that_is_not_installed_are_refused_with_its_name(tmp_path: Path) -> None:
    versions = {"python": "3.11", "numpy": "2", "no-such-framework": "1"}
    runs = [written(tmp_path / str(seed), seed, versions=versions) for seed in range(24)]
    with pytest.raises(WatchError, match="no-such-framework is not installed here") as refused:
        collect(runs)
    assert "pip install no-such-framework" in refused.value.hint


def test_a_claim_needs_a_recipe_and_data_and_the_runs_word_holds(clean: list[Path], tmp_path: Path) -> None:
    silent = tmp_path / "silent"
    for seed in range(24):
        written(silent / str(seed), seed, recipe="", data="")
    with pytest.raises(WatchError, match="neither the runs nor you say the recipe"):
        collect([silent], data="text")
    with pytest.raises(WatchError, match="neither the runs nor you say the data"):
        collect([silent], recipe="small")
    made = collect([silent], recipe="small", data="2" * 64)
    assert (made.recipe, made.data) == (hashed("small"), "2" * 64)
    assert collect(clean, recipe="small").recipe == BEGUN.recipe
    with pytest.raises(WatchError, match="the runs state another recipe than you"):
        collect(clean, recipe="large")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda lines: [], "0 beginnings of a run and 0 looks"),
        (lambda lines: lines[:1], "1 beginnings of a run and 0 looks"),
        (lambda lines: lines + lines, "2 beginnings of a run and 6 looks"),
        (lambda lines: [*lines[:3], lines[3][:20]], "holds no whole record of a run"),
        (lambda lines: [*lines, lines[2]], "was rolled back at step 10"),
        (lambda lines: [lines[0], lines[1].replace('"inner"', '"other"')], r"reads \['other', 'outer'\]"),
        (lambda lines: [lines[0].replace('"v":1', '"v":2'), *lines[1:]], "holds no whole record"),
    ],
)
def test_a_record_that_is_not_one_whole_run_is_refused(tmp_path: Path, spoil, why: str) -> None:
    folder = written(tmp_path / "x", 1, looks=3)
    lines = (folder / LOOKS).read_text().splitlines()
    (folder / LOOKS).write_text("\n".join(spoil(lines)))
    with pytest.raises(WatchError, match=why):
        recorded(folder)
    (folder / LOOKS).unlink()
    with pytest.raises(WatchError, match="No such file"):
        recorded(folder)


def test_a_record_that_a_peer_made_to_do_harm_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = written(tmp_path / "x", 1, looks=3)
    path = folder / LOOKS
    good = path.read_bytes()
    lines = good.splitlines(keepends=True)
    for bad in (
        lines[0] + b"[" * 300_000,
        lines[0] + b'{"x":' + b"[" * 300_000,
        lines[0].replace(b'"settings":{', b'"settings":{"q":' + b'{"a":' * 100_000),
    ):
        path.write_bytes(bad)
        with pytest.raises(WatchError, match="holds no whole record of a run"):
            recorded(folder)
    path.write_bytes(b"".join(lines).replace(b'"step":15', b'"step":10'))
    with pytest.raises(WatchError, match="the look at step 10 comes after that at step 10"):
        recorded(folder)
    path.write_bytes(good)
    monkeypatch.setattr("darklantern.watch.recording.LARGEST", len(good) - 1)
    with pytest.raises(WatchError, match=r"it has [\d,]+ bytes, at most [\d,]+ are read"):
        recorded(folder)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(WatchError, match="it is no plain file"):
        recorded(folder)


def watched(folder: Path, script=lambda look: 0.1 * look, signals=(), **given):
    model, optimizer, loader = parts()
    w = watch(
        model,
        state=(optimizer, loader),
        trusted=ROWS,
        signals=[Scripted(script), *signals],
        settings=Settings(every=5, margin=1),
        run=folder,
        **given,
    )
    run(w, (model, optimizer, loader))
    w.close()
    return w


class Hidden(Scripted):
    name = "a secret"


@pytest.mark.slow
def test_a_watch_with_a_run_leaves_all_that_its_looks_read_and_nothing_of_held_out_monitors(tmp_path: Path) -> None:
    hidden = held_out(Hidden(lambda look: 0.0, signals=(Signal("a secret", "I0", "signal", "", ""),)))
    w = watched(tmp_path / "x", signals=[hidden], seed=7, recipe="small", data="text")
    found = recorded(tmp_path / "x")
    assert isinstance(found, Recorded)
    assert (found.begun.seed, found.begun.recipe, found.begun.data) == (7, hashed("small"), hashed("text"))
    assert found.steps == tuple(w.trace.steps)
    assert found.contrasts == {"scripted": w.trace.tracks["scripted"].contrasts}
    assert found.begun.digests == w.digests
    assert "secret" not in (tmp_path / "x" / LOOKS).read_text()


class Seeded(Scripted):
    settings = {"seed": 7, "share": 0.5, "spans": ["a long text"] * 99, "lens": None}  # noqa: RUF012


@pytest.mark.slow
def test_a_run_says_the_settings_of_its_probes_briefly_and_none_of_a_held_out_one(tmp_path: Path) -> None:
    probes = [
        Seeded(lambda look: 0.0, signals=(Signal("seeded", "I0", "signal", "", ""),)),
        held_out(Hidden(lambda look: 0.0, signals=(Signal("a secret", "I0", "signal", "", ""),))),
    ]
    watched(tmp_path / "x", signals=probes)
    said = recorded(tmp_path / "x").begun.settings
    assert said.keys() == {"scripted", "seeded"}
    assert len(said["seeded"].pop("spans")) == 12
    assert said["seeded"] == {"seed": 7, "share": 0.5, "lens": None}


@pytest.mark.slow
def test_a_run_that_was_rolled_back_is_no_reference(tmp_path: Path) -> None:
    watched(tmp_path / "x", lambda look: 9.0 if look >= 7 else 0.0, on_alarm=Reaction.ROLL_BACK)
    with pytest.raises(WatchError, match="was rolled back at step"):
        recorded(tmp_path / "x")


def test_references_may_be_given_by_their_file(tmp_path: Path) -> None:
    path = tmp_path / "references.json"
    path.write_bytes(encode(REFERENCES))
    model, optimizer, loader = parts()
    given = dict(state=(optimizer, loader), trusted=ROWS, signals=[Scripted(lambda look: 0.0)])
    w = watch(model, **given, references=path, recipe="1" * 64, data="2" * 64)
    assert w.trace.uncalibrated == ""
    assert w.cadence.every == REFERENCES.every
    with pytest.raises(StoreError, match="cannot read the references"):
        watch(model, **given, references=tmp_path / "none.json")
    path.write_bytes(b"{}")
    with pytest.raises(RecordError):
        watch(model, **given, references=str(path))
    assert isinstance(REFERENCES, References)


def test_references_in_a_file_are_judged_when_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "references.json"
    for wrong, said in (
        ({"maxima": (1.5,) * 100}, "a maximum in clean for each of the seeds, got 100 for 19"),
        ({"standardised_on": (1,)}, "seed 1 of clean on one side"),
    ):
        path.write_bytes(encode(msgspec.structs.replace(REFERENCES, **wrong)))
        with pytest.raises(RecordError, match=said):
            load(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(StoreError, match=r"cannot read the references .*: it is no plain file"):
        load(path)


def test_a_recipe_that_differs_is_named_by_its_text_where_that_is_known(tmp_path: Path) -> None:
    for number, text in enumerate(("AdamW 5e-3", "AdamW 1e-3")):
        w, loop = start(Scripted(lambda look: 0.0), references=None, folder=tmp_path / str(number), recipe=text)
        run(w, loop)
        w.close()
    with pytest.raises(WatchError, match=r"has other recipe than the one in .*: 'AdamW 1e-3' and 'AdamW 5e-3'"):
        collect([tmp_path], standardise=5)
