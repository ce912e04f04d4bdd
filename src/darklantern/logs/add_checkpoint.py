"""What a witness is asked and answers: the `add-checkpoint` call of c2sp.org/tlog-witness.

In: a request's bytes, and what the witness remembers of the log. Out: the checkpoint to remember and cosign, or the
response that refuses. It reads no clock and keeps nothing.

The caller holds the memory, and must compare and replace it in one transaction *before* it cosigns or answers
(`judge` against what is there then): of two requests that both fit, only the first may pass.
"""

import re
from dataclasses import dataclass
from typing import Final

from darklantern.errors import LogError, SignatureError
from darklantern.logs import merkle, notes
from darklantern.logs.checkpoint import MAX_NOTE, Checkpoint, NoteVerifier, parse, verify
from darklantern.logs.witness import read_lines

MAX_PROOF: Final = 63
"""Hashes; a proof between two trees that can be written is never longer."""
MAX_REQUEST: Final = MAX_NOTE + (MAX_PROOF + 1) * 64
"""Bytes."""
SIZE_TYPE: Final = "text/x.tlog.size"
TEXT_TYPE: Final = "text/plain; charset=utf-8"

_HEAD = re.compile(r"old (?P<old>0|[1-9][0-9]{0,18})\n(?P<proof>(?:[A-Za-z0-9+/]{43}=\n){0,63})")
_SIZE = re.compile(rb"(0|[1-9][0-9]{0,18})\n")


@dataclass(frozen=True)
class Request:
    """Cosign `note`: its tree begins with the `old_size` entries that you have seen, as `proof` shows."""

    old_size: int
    proof: tuple[bytes, ...]
    note: bytes

    @property
    def origin(self) -> str:
        """Which log this is about, not verified. Raises LogError when the note is no checkpoint."""
        return parse(self.note)[0].origin


@dataclass(frozen=True)
class Remembered:
    """What a witness remembers of a log: its key, and the newest checkpoint that it cosigned."""

    origin: str
    key: NoteVerifier
    size: int = 0
    root: bytes = merkle.EMPTY_ROOT


@dataclass(frozen=True)
class Response:
    """An HTTP answer."""

    status: int
    body: bytes
    content_type: str = TEXT_TYPE
    fork: bool = False
    """the log signed two different trees of one size: keep the request, it is half of the proof"""


def encode_request(request: Request) -> bytes:
    """The body of the POST. Raises LogError for what `decode_request` would not take."""
    lines = "".join(f"{notes.encode64(part)}\n" for part in request.proof)
    body = f"old {request.old_size}\n{lines}\n".encode() + request.note
    decode_request(body)
    return body


def decode_request(body: bytes) -> Request:
    """The request in a POST's body. Raises LogError (an HTTP 400) for anything but exactly one."""
    if len(body) > MAX_REQUEST:
        raise notes.refused(f"a request of at most {MAX_REQUEST} bytes", f"{len(body)}")
    head, _, note = body.partition(b"\n\n")
    match = _HEAD.fullmatch(head.decode("ascii", "replace") + "\n")
    if not match:
        raise notes.refused(f"'old', a size, at most {MAX_PROOF} hashes and an empty line", "another beginning")
    proof = tuple(notes.decode64(line) for line in match["proof"].splitlines())
    if any(notes.encode64(part) != line for part, line in zip(proof, match["proof"].splitlines(), strict=True)):
        raise notes.refused("canonical base64", "another spelling of the same hash")
    parse(note)
    return Request(int(match["old"]), proof, note)


def judge(request: Request, remembered: Remembered | None) -> Checkpoint | Response:
    """The checkpoint to remember and then cosign, or the response that refuses.

    `remembered` is what the witness has of `request.origin`; None, for a log that it does not watch, refuses all.
    """
    # 1. Is this log watched here, and did it sign?
    if remembered is None:
        return _refusal(404, "this witness does not watch that log")
    try:
        checkpoint, _ = verify(request.note, remembered.origin, remembered.key)
    except (LogError, SignatureError) as error:
        return _refusal(403, error.message)
    # 2. Does the request go on from where this witness stands?
    if request.old_size > checkpoint.size:
        return _refusal(400, f"expected an old size of at most {checkpoint.size}, got {request.old_size}")
    fork = checkpoint.size == remembered.size > 0 and checkpoint.root != remembered.root
    if request.old_size != remembered.size or fork:
        return Response(409, f"{remembered.size}\n".encode(), SIZE_TYPE, fork)
    # 3. Is what this witness saw the beginning of the new tree?
    try:
        merkle.verify_consistency(remembered.size, remembered.root, checkpoint.size, checkpoint.root, request.proof)
    except LogError as error:
        return _refusal(422, error.message)
    return checkpoint


def accepted(*lines: bytes) -> Response:
    """The answer with the witness's cosignature lines."""
    return Response(200, b"".join(lines))


def read_response(response: Response) -> tuple[bytes, ...] | int:
    """The cosignature lines, not verified; or the size at which the witness stands: send a proof from there.

    Raises LogError for a refusal. The same size as was sent means that the witness knows another tree of that size.
    """
    if response.status == 200:
        return read_lines(response.body)
    size = _SIZE.fullmatch(response.body)
    if response.status == 409 and response.content_type == SIZE_TYPE and size:
        return int(size[1])
    raise LogError(
        f"expected the witness to cosign, got {response.status}: {response.body[:200].decode('utf-8', 'replace')!r}",
        hint="404: it does not watch this log; 403: it knows another key; 422: it has seen another history of this log",
    )


def _refusal(status: int, message: str) -> Response:
    return Response(status, message.encode() + b"\n")
