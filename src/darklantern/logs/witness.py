"""Witnesses: others who vouch that a log has shown them one history only.

In: a checkpoint's note and keys. Out: cosignature lines (c2sp.org/tlog-cosignature, ML-DSA-44, type 0x06), who cosigned
and when, and what follows from that. It never takes a log's own line for a witness's, and it remembers nothing: whether
to cosign is decided in `add_checkpoint`, where a witness's memory comes in.

What does not count, and is ignored as the specification asks: lines under keys that are not given here, Ed25519
cosignatures (type 0x04) among them. Those do not bind the witness's name, and fall to a quantum computer.
"""

from collections.abc import Iterable, Mapping

from darklantern.errors import LogError, SignatureError, refusing
from darklantern.logs import notes
from darklantern.logs.checkpoint import (
    MAX_NOTE,
    Checkpoint,
    NoteSigner,
    NoteVerifier,
    check_cosignature,
    cosignature,
    cosigner_id,
    parse,
    verify,
)

_refused = refusing(
    LogError,
    "cosignatures",
    hint="ask the relay for the checkpoint again; if it recurs, tell the keepers of the log and of the witness",
)

Said = tuple[str, int]
"""A witness's name, and when it cosigned (seconds since 1970)."""


def cosign(note: bytes, origin: str, log: NoteVerifier, witness: NoteSigner, name: str, time: int) -> bytes:
    """The line by which witness `name` says that at `time` this is the largest consistent tree of `origin` it has seen.

    Only for a note that `add_checkpoint.judge` let through, or whose log the witness holds whole. Raises LogError and
    SignatureError as `checkpoint.verify` does, and LogError for a witness that has the log's name or its key: nobody is
    a witness of itself.
    """
    checkpoint, _ = verify(note, origin, log)
    if name == origin or witness.public.raw("mldsa44") == log.raw("mldsa44"):
        raise _refused("a witness with a name and a key of its own", f"those of the log {origin}")
    return bytes(cosignature(checkpoint, name, witness, time))


def cosigned(note: bytes, witnesses: Mapping[str, NoteVerifier]) -> tuple[Said, ...]:
    """Which of these witnesses cosigned, and when, in the order of the note.

    Says nothing about the log's own signatures: `checkpoint.verify` first. Raises LogError for bytes that are not
    exactly a checkpoint, and SignatureError when a line under one of these keys does not verify: the whole note is
    then refused, as signed-note recommends.
    """
    checkpoint, lines = parse(note)
    if checkpoint.origin in witnesses:
        raise _refused("witnesses that are not the log", f"one with the log's own name, {checkpoint.origin}")
    keys = {(name, cosigner_id(name, key)): key for name, key in witnesses.items()}
    return tuple((line.name, check_cosignature(line, checkpoint, keys[line.key])) for line in lines if line.key in keys)


def read_lines(text: bytes) -> tuple[bytes, ...]:
    """Signature lines one by one, from the body of a request or a response. Raises LogError; verifies nothing."""
    if len(text) > MAX_NOTE:
        raise _refused(f"at most {MAX_NOTE} bytes of signature lines", f"{len(text)}")
    lines = tuple(text.splitlines(keepends=True))
    if not lines:
        raise _refused("at least one signature line", "none")
    for line in lines:
        notes.read_line(line)
    return lines


def with_cosignatures(note: bytes, lines: Iterable[bytes]) -> bytes:
    """`note` with these lines too, sorted after the log's own two: of each witness's key the one with the latest time.

    Verifies nothing: add what `cosigned` took, else a false line may displace a true one. Whatever the order in which
    lines come, the bytes are the same. Raises LogError for a line in the log's name, and when the note would grow
    beyond `MAX_NOTE`.
    """
    checkpoint, there = parse(note)
    own, found = there[:2], {line.key: line for line in there[2:]}
    for line in map(notes.read_line, lines):
        known = found.get(line.key)
        if known is None or known.signature < line.signature:  # which begins with the time, big-endian
            found[line.key] = line
    if any(name == checkpoint.origin for name, _ in found):
        raise _refused("lines of witnesses", f"one in the name of the log, {checkpoint.origin}")
    merged = notes.write(checkpoint.text(), (*own, *(found[key] for key in sorted(found))))
    if len(merged) > MAX_NOTE:
        raise _refused(f"a note of at most {MAX_NOTE} bytes", f"{len(merged)} with these {len(found)} cosignatures")
    return merged


def gathered(note: bytes, others: Iterable[bytes], witnesses: Mapping[str, NoteVerifier]) -> bytes:
    """`note` with the lines of these witnesses that it or any of the `others` carries, and no line of anybody else.

    All are notes of one checkpoint. A line that does not verify is left out: whoever carried it may have put it there
    in place of a true one.
    """
    checkpoint, own = parse(note)
    keys = {(name, cosigner_id(name, key)): key for name, key in witnesses.items()}
    lines = [line for each in (note, *others) for line in parse(each)[1] if line.key in keys]
    bare = notes.write(checkpoint.text(), own[:2])
    return with_cosignatures(bare, (bytes(line) for line in lines if _holds(line, checkpoint, keys[line.key])))


def _holds(line: notes.Line, checkpoint: Checkpoint, key: NoteVerifier) -> bool:
    try:
        check_cosignature(line, checkpoint, key)
    except (LogError, SignatureError):
        return False
    return True


def agreed(said: Iterable[Said], orgs: Mapping[str, str], needed: int) -> int | None:
    """The latest time at which `needed` distinct orgs had all cosigned, or None when so many have not.

    `orgs` names the org of each witness that counts; several witnesses of one org are one voice. Raises LogError for
    `needed` below 1, which anybody would satisfy.
    """
    if needed < 1:
        raise _refused("at least 1 org", f"{needed}")
    latest: dict[str, int] = {}
    for name, time in said:
        if name in orgs:
            latest[orgs[name]] = max(time, latest.get(orgs[name], 0))
    times = sorted(latest.values(), reverse=True)
    return times[needed - 1] if len(times) >= needed else None
