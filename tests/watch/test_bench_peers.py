"""The page of the side by side: what stands on it comes from the lines, and what was not measured is said."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "bench"))  # last: what tests call by the same name stays theirs

import watch_peers_room
from watching import lines
from watching.peers import judge, page, room
from watching.suite import Job

ONSET, END = 100, 400


def _job(part: str, arm: str, seed: int) -> Job:
    return Job("E3", part, arm, 0.03, seed)


POISONED = [_job("poisoned", "poisoned", seed) for seed in range(4)]
CLEAN = [_job("further", "clean", seed) for seed in range(10, 13)]
INERT = [_job("again", "inert", seed) for seed in range(20, 22)]
OVERT = {job: 300 for job in POISONED}
OURS = dict.fromkeys(POISONED, 200) | dict.fromkeys((*CLEAN, *INERT))
LOUD = dict.fromkeys(POISONED[:3], 250) | {POISONED[3]: 50} | dict.fromkeys((*CLEAN, *INERT), 150)
"""a peer that alarms everywhere: of the poisoned runs three times as it should, once before the onset"""


def _line(said: str, alarms: judge.Alarms, peer: tuple[str, str] | None = None) -> lines.Line:
    standing = judge.stand(alarms, OVERT, OURS, ONSET, END)
    return lines.line(f"peers E3 · {said}", standing.hits / 4, "of poisoned runs", peer=peer, **standing.told())


def test_what_a_peer_raises_where_nothing_forms_stands_beside_what_it_finds() -> None:
    said = page.page({"E3": [_line("darklantern · run maximum", OURS), _line("loud · own alarm", LOUD, ("loud", "1"))]})
    assert "| **darklantern · run maximum** | 4 of 4 / 0 of 2 |" in said
    assert "| loud · own alarm | 3 of 4 / 2 of 2 |" in said
    (row,) = [row for row in said.splitlines() if row.startswith("| loud · own alarm | 3 of 4 | ")]
    assert "| 3 of 3 | inert 2 of 2 |" in row
    assert "| -50 [" in row  # steps before ours: 50 later in most runs


def test_a_part_that_was_not_measured_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_peers_room, "LINES", tmp_path / "lines")
    monkeypatch.setattr(watch_peers_room, "FOLDER", tmp_path)
    monkeypatch.setattr(room, "beside", lambda name, workers: iter([_line("darklantern · run maximum", OURS)]))
    made = watch_peers_room.run({"WATCH_PEERS": "E3"})
    said = (tmp_path / "watch_peers.md").read_text()
    assert "| peers E1 | not measured yet |" in said
    assert "| peers overhead | not measured yet |" in said
    assert [each["detail"].get("reason") for each in made if each["value"] is not None] == [None]
    assert lines.kept(tmp_path / "lines" / "E3.json")[0]["value"] == 1.0  # and is there the next time
    assert watch_peers_room._kept("E3")[0]["detail"]["hits"] == "4 of 4"


def test_a_part_that_fails_is_said_and_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_peers_room, "LINES", tmp_path)
    (made,) = watch_peers_room._measured("E3", lambda: iter([1 / 0]))
    assert made["ok"] is False
    assert "ZeroDivisionError" in made["detail"]["reason"]
    assert not list(tmp_path.rglob("*.json"))


def test_a_part_that_there_is_not_is_refused() -> None:
    with pytest.raises(SystemExit, match="E9; there are E1, "):
        watch_peers_room.run({"WATCH_PEERS": "E9"})


def test_what_each_costs_names_ours_and_theirs() -> None:
    cost = [
        lines.line(f"peers overhead at 20 · {who}", value, "% of a step", peer=peer, with_processes_it_started=value)
        for who, value, peer in (("darklantern", 2.5, None), ("wandb", 7.25, ("wandb", "0.31.0")))
    ]
    said = page.page({"overhead": cost})
    assert "| at 20 · wandb | 7.25 | 7.25 | 0.31.0 |" in said
