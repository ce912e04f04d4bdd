"""A demo's folder appears whole, in place of an earlier one, and never over anything else."""

from pathlib import Path

import pytest

from darklantern.demo.workspace import workspace
from darklantern.errors import StoreError


def make(folder: Path, name: str) -> None:
    with workspace(folder) as place:
        (place / name).touch()


def test_a_folder_that_no_demo_made_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("years of work")
    with pytest.raises(StoreError, match="was not made by a demo"):
        make(mine, "x")
    with pytest.raises(StoreError, match=r"thesis\.tex is a file"):
        make(mine / "thesis.tex", "x")
    assert [each.name for each in tmp_path.rglob("*")] == ["mine", "thesis.tex"]
    assert (mine / "thesis.tex").read_text() == "years of work"


def test_an_earlier_demo_is_replaced_once_the_new_one_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "out"
    make(folder, "first")
    with workspace(folder) as place:
        assert (folder / "first").exists()
        (place / "second").touch()
    assert not (folder / "first").exists()
    assert (folder / "second").exists()
    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.parametrize("end", [KeyboardInterrupt, RuntimeError])
def test_an_earlier_demo_outlives_one_that_does_not_end_well(tmp_path: Path, end: type[BaseException]) -> None:
    folder = tmp_path / "out"
    make(folder, "first")
    with pytest.raises(end), workspace(folder):
        raise end
    assert (folder / "first").exists()
    assert list(tmp_path.iterdir()) == [folder]
