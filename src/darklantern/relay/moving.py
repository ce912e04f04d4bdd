"""Logs that move from one relay to another.

In: views, keys, notes. Out: nothing, or the reason why this relay may not append. The record that moves a log names
the last checkpoint by the old key: the new appender goes on from exactly there, or there would be two histories.
"""

from collections.abc import Iterable, Sequence

from darklantern.logs import checkpoint
from darklantern.network.circles import Circle
from darklantern.network.heads import Head, origin, read_head
from darklantern.network.reading import read
from darklantern.network.rosters import Roster
from darklantern.network.states import Version
from darklantern.network.view import View
from darklantern.relay.problems import Problem, busy
from darklantern.sealing import LogVerifyKey


def check_mine(view: View, log: str, key: LogVerifyKey, envelopes: Iterable[bytes]) -> None:
    """Raises Problem 404 and 409 unless `key` is the log's, or the first record moves the network's log to it."""
    named = view.log_key(log)
    if named == key:
        return
    if named is None:
        raise Problem(404, f"no accepted record names the log {log[:8]}…", "sync the network's log first")
    if log == view.net and (first := next(iter(envelopes), None)) is not None:
        body = read(first).body
        if isinstance(body, Roster) and body.log == key:
            return
    raise Problem(409, f"this relay mirrors the log {log[:8]}…; its appender is {named.id}", "send it to that relay")


def has_moved(view: View, log: str) -> bool:
    """Whether a circle's log has ever had another key."""
    return _final(view, log) is not None


def check_taken_over(view: View, log: str, key: LogVerifyKey, note: bytes | None) -> None:
    """Raises Problem 503 where this relay would be the first to append under a new key, and stands elsewhere than the
    old one ended. `note` is the newest that is stored."""
    final = _final(view, log)
    if final is None or (note is not None and checkpoint.parse(note)[0].origin == origin(key, log)):
        return
    end, trail = checkpoint.parse(final)[0], view.trail(log)
    if (trail.size, trail.roots[-1]) != (end.size, end.root):
        raise busy(f"the log {log[:8]}… moved here at {end.size} entries, and this relay has {trail.size}")


def finals(view: View, log: str) -> tuple[bytes, ...]:
    """The last checkpoints by the keys that a log has had before."""
    return tuple(version.body.final for version in _versions(view, log) if version.body.final is not None)


def read_any_head(view: View, log: str, note: bytes) -> Head | None:
    """The head in a note by the log's key, or by one before it up to where that ended; None for one beyond that.

    Raises LogError or SignatureError as `read_head` does.
    """
    newest, *older = _keys(view, log)
    for key, end in older:
        if checkpoint.parse(note)[0].origin == origin(key, log):
            head = read_head(note, log, key)
            return head if head.size <= end else None
    return read_head(note, log, newest[0])


def _keys(view: View, log: str) -> list[tuple[LogVerifyKey, int]]:
    """The keys that a log has had, newest first, and for all but the newest the size at which each ended."""
    found: list[tuple[LogVerifyKey, int]] = []
    end = 0
    for version in reversed(_versions(view, log)):
        body = version.body
        if not found or found[-1][0] != body.log:
            found.append((body.log, end))
        if body.final is not None:
            end = checkpoint.parse(body.final)[0].size
    return found


def _versions(view: View, log: str) -> Sequence[Version[Roster] | Version[Circle]]:
    return view.network.rosters if log == view.net else view.network.circles.get(log, ())


def _final(view: View, log: str) -> bytes | None:
    """The last checkpoint by the key before this one, of a circle's log. The network's is judged with its roster."""
    versions = view.network.circles.get(log, ())
    return next((version.body.final for version in reversed(versions) if version.body.final is not None), None)
