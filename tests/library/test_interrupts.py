"""Ctrl-C in the middle of a step: the step is done, or it never was; and the disk and the open library say the same."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from darklantern.network.items import Sealed
from darklantern.network.reading import read
from library.meeting import Meeting, met


@pytest.fixture
def us(tmp_path: Path) -> Iterator[Meeting]:
    us = met(tmp_path)
    yield us
    us.close()


def interrupted(us: Meeting, monkeypatch: pytest.MonkeyPatch, step: Callable[[], object], *, after: bool) -> None:
    """Run `step`; Ctrl-C comes right before the transaction begins, or right after it was committed."""
    database = us.aurora._desk.vault.database
    write = type(database).write

    def writing(self: object, change: object) -> None:
        if after:
            write(self, change)  # type: ignore[arg-type]
        signal.raise_signal(signal.SIGINT)
        if not after:
            write(self, change)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(type(database), "write", writing)
        with pytest.raises(KeyboardInterrupt):
            step()


@pytest.mark.parametrize("after", [False, True])
def test_a_post_is_written_whole_and_goes_its_way(us: Meeting, monkeypatch: pytest.MonkeyPatch, after: bool) -> None:
    item = us.share()
    us.sync()
    interrupted(us, monkeypatch, lambda: us.aurora.threads.post(item, "interrupted"), after=after)
    stored = us.aurora._desk.vault.database.read().outbox
    assert stored == us.aurora._desk.held.outbox
    bodies = [body for waiting in stored if isinstance(body := read(waiting.envelope).body, Sealed)]
    assert all(piece in us.aurora._desk.vault.blobs for body in bodies for piece in body.pieces)
    us.aurora.threads.post(item, "after it")
    us.sync()
    assert [post.text for post in us.beacon.threads.open(item).posts] == ["interrupted", "after it"]
    assert us.beacon.view.circle(us.circle).frozen == {}


def test_a_bundle_is_taken_in_whole(us: Meeting, monkeypatch: pytest.MonkeyPatch) -> None:
    item = us.share(b"y" * 100_000)
    us.sync()
    us.beacon.threads.post(item, "carried")
    us.beacon.bundles.export_to(us.folder / "bundle")
    interrupted(us, monkeypatch, lambda: us.aurora.bundles.import_from(us.folder / "bundle"), after=True)
    assert [post.text for post in us.aurora.threads.open(item).posts] == ["carried"]
    assert us.aurora.care.verify() == ()
    us.reopen("aurora")
    assert [post.text for post in us.aurora.threads.open(item).posts] == ["carried"]


def test_an_interrupt_before_the_write_leaves_nothing(us: Meeting, monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(us.aurora._desk.vault.blobs)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("darklantern.library.desk.difference", stop)
        us.share()
    assert set(us.aurora._desk.vault.blobs) == before and us.aurora.pending == ()
