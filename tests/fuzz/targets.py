"""What is fuzzed: the one table. A parser of bytes from outside that is not in it, is not fuzzed."""

import hashlib
import io
import re
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from network.world import device
from safetensors.numpy import save

from darklantern.assess import load
from darklantern.assess.protocols import kept
from darklantern.cli.blank_form import blank
from darklantern.cli.finding_form import prepared
from darklantern.cli.kinds import recognised
from darklantern.errors import DarkLanternError, LogError
from darklantern.library.artifact_contents import check_contents
from darklantern.library.bundles import Trailer, read_bundle
from darklantern.library.searching import expression
from darklantern.logs import add_checkpoint, frames, merkle, notes, stream, witness
from darklantern.logs.add_checkpoint import SIZE_TYPE, Remembered, Response
from darklantern.logs.checkpoint import parse
from darklantern.network.drafts import check_fits, read_draft, tallies
from darklantern.network.invitations import parse_code
from darklantern.network.items import Binding, Package, Posting, Sealed, cut, open_content
from darklantern.network.items import Header as ItemHeader
from darklantern.network.reading import Read, read
from darklantern.network.wording import words
from darklantern.records.assessments import AnswerSet
from darklantern.records.exact import encode
from darklantern.replication import TABLE
from darklantern.sealing import Identity, Recipient, age, header, payload, payload_type, seal, sign
from darklantern.stores import archive
from darklantern.stores.journal import open_journal
from fuzz import answering, judged, relaying, seeds, values


@dataclass(frozen=True)
class Target:
    """A parser, and the writer that gives the same bytes back where there is one."""

    decode: Callable[[bytes], Any]
    encode: Callable[[Any], bytes] | None
    seeds: Callable[[], Sequence[bytes]]
    limit: int = 64 * 1024
    """bytes of input; the parsers' own limits are higher and have tests of their own"""


def accepts(target: Target, data: bytes) -> bool:
    """Whether `data` was decoded. Anything but that and a DarkLanternError is a crash and goes through."""
    try:
        value = target.decode(data)
    except DarkLanternError:
        return False
    if target.encode:
        again = target.encode(value)
        assert again == data, f"decoded, and gives other bytes: {again[:200]!r}"
    return True


# Envelopes and records


def _envelope(taken: Read) -> bytes:
    assert encode(taken.record) == taken.envelope.payload
    assert encode(taken.body) == bytes(taken.record.body)
    return encode(taken.envelope)


# age files

ME = Identity(bytes(32))
FILE_KEY = bytes(range(16))


def _file() -> list[bytes]:
    return [seal(b"x" * size, [ME.recipient, Identity.generate().recipient]) for size in (0, 5, payload.CHUNK + 1)]


def _header(data: bytes) -> tuple[header.Header, bytes]:
    source = io.BytesIO(data)
    return header.read(source), source.read()


def _header_again(found: tuple[header.Header, bytes]) -> bytes:
    head, rest = found
    covered = header.write(head.stanzas, FILE_KEY)[: len(head.covered)]
    return covered + b" " + header.encode64(head.mac) + b"\n" + rest


def _payload(data: bytes) -> tuple[bytes, list[bytes]]:
    return data[: payload.NONCE], list(payload.decrypt(io.BytesIO(data), FILE_KEY))


def _payload_again(found: tuple[bytes, list[bytes]]) -> bytes:
    nonce, chunks = found
    cipher = payload.cipher(FILE_KEY, nonce)
    last = len(chunks) - 1
    return nonce + b"".join(
        cipher.encrypt(payload.chunk_nonce(at, at == last), chunk, None) for at, chunk in enumerate(chunks)
    )


def _payloads() -> list[bytes]:
    return [b"".join(payload.encrypt(io.BytesIO(b"x" * size), FILE_KEY)) for size in (0, 5, payload.CHUNK)]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _recipient(data: bytes) -> tuple[bool, str]:
    return data.isupper(), str(Recipient.parse(_text(data)))


def _identity(data: bytes) -> tuple[bool, str]:
    return data.isupper(), Identity.parse(_text(data)).reveal().lower()


def _cased(found: tuple[bool, str]) -> bytes:
    upper, text = found
    return (text.upper() if upper else text).encode()


# Logs


def _note_again(found: tuple[Any, Sequence[notes.Line]]) -> bytes:
    said, lines = found
    return notes.write(said.text(), lines)


def _cosigned(data: bytes) -> None:
    witness.cosigned(data, {seeds.WITNESS_NAME: seeds.WITNESS.public})
    merged = witness.with_cosignatures(data, ())
    assert witness.with_cosignatures(merged, ()) == merged


def _request(data: bytes) -> add_checkpoint.Request:
    request = add_checkpoint.decode_request(data)
    for size, root in ((0, merkle.EMPTY_ROOT), (1, bytes(32))):
        answer = add_checkpoint.judge(request, Remembered(request.origin, seeds.log_key("keeper").public, size, root))
        assert not isinstance(answer, Response) or answer.status in (400, 403, 409, 422)
    return request


def _answer(data: bytes) -> None:
    add_checkpoint.read_response(Response(200 if data[:1] == b"\xe2" else 409, data, SIZE_TYPE))


def _proof(data: bytes) -> None:
    kind, at, size = data[:1], int.from_bytes(data[1:9], "big"), int.from_bytes(data[9:17], "big")
    first, top, *proof = [data[place : place + 32] for place in range(17, max(len(data), 81), 32)]
    if kind == b"i":
        merkle.verify_inclusion(first, at, size, proof, top)
    elif kind == b"c":
        merkle.verify_consistency(at, first, size, top, proof)
    else:
        raise LogError("expected i or c first", hint="see seeds.proofs")


# Streams


def _stream(data: bytes) -> tuple[list[stream.Frame], bytes]:
    signatures: list[bytes] = []
    frames = list(stream.read(data, lambda digest, signature: signatures.append(signature)))
    return frames, signatures[0]


def _stream_again(found: tuple[list[stream.Frame], bytes]) -> bytes:
    frames, signature = found
    sink = io.BytesIO()
    stream.write(sink, frames, lambda digest: signature)
    return sink.getvalue()


def _streams() -> list[bytes]:
    some = [stream.Frame(kind, b"some") for kind in stream.Kind if kind != stream.Kind.TRAILER]
    return [_stream_again((frames, b"signature")) for frames in ([], some, some * 3)]


def _bundle(data: bytes) -> None:
    """The frames of a bundle, behind the trailer that makes them whole: their order and their contents."""
    net, maker = seeds.network()[0].net, device("ada")

    def signed(digest: bytes) -> bytes:
        trailer = Trailer(net=net, device=maker.public, digest=digest.hex())
        return encode(sign(payload_type("bundle"), encode(trailer), [maker.signing]))

    body = stream.MAGIC + data
    digest = hashlib.sha256(body).digest()
    end = len(body).to_bytes(8, "big") + digest + signed(digest)
    whole = body + bytes([stream.Kind.TRAILER]) + len(end).to_bytes(8, "big") + end
    read_bundle(io.BytesIO(whole), net, lambda name, piece: None)


def _frames() -> list[bytes]:
    frames = _stream(seeds.bundles()[0])[0]
    whole = b"".join(bytes([kind]) + len(data).to_bytes(8, "big") + data for kind, data in frames)
    return [whole, b""]


# What travels between people


def _draft(data: bytes) -> None:
    """A draft that somebody handed over, as far as whoever is asked to sign it goes."""
    world, _ = seeds.network()
    found, state = read_draft(data, device("ada").receiving), world.view.network
    words(found.read.body, state.roster, found.terms)
    words(found.read.body)
    check_fits(world.net, state, found)
    tallies(state, found)


# What is inside

HERE = Binding("post", "0" * 64, "1" * 64, "2" * 64, "V2")


def _content(data: bytes) -> None:
    """A plaintext as a member could seal it who does not use our writer."""
    ciphertext = seal(data, [ME.recipient])
    pieces = cut(ciphertext)
    head = ItemHeader(
        circle=HERE.circle,
        epoch=HERE.epoch,
        author=HERE.author,
        size=len(data),
        ciphertext=hashlib.sha256(ciphertext).hexdigest(),
    )
    sealed = Sealed(header=head, pieces=tuple(pieces))
    if b'"kind":"item"' in data[:40]:
        open_content(Package, "item", sealed, pieces, ME.seed)
    else:
        open_content(Posting, "post", sealed, pieces, ME.seed)


def _contents() -> list[bytes]:
    return [judged.plaintext(content, HERE) for content in (*seeds.said(), seeds.package())]


# Files of a device


def _journal(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "journal")
        path.write_bytes(data)
        facts = []
        for _ in range(2):  # the second reading finds the torn tail gone, and the same facts
            journal = open_journal(path)
            assert journal
            journal.close()
            facts.append((journal.begun, journal.marks, journal.done))
        assert facts[0] == facts[1]


def _journals() -> list[bytes]:
    begin, mark, done = b"begin AAAA\n", b"mark 0 " + b"0" * 64 + b"\n", b"done 0 " + b"f" * 64 + b"\n"
    return [begin, begin + mark, begin + mark + done, begin + mark + done[:20]]


def _archive(data: bytes) -> list[tuple[str, bytes]]:
    return [(member.name, b"".join(member.chunks)) for member in archive.unpack(io.BytesIO(data))]


def _archive_again(files: list[tuple[str, bytes]]) -> bytes:
    return b"".join(archive.pack(archive.Member(name, len(data), [data]) for name, data in files))


# What somebody filled in


def _form(data: bytes) -> None:
    """A form beside the file that its example names; and what a file is taken for that was meant for another."""
    recognised(data)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "finding.toml")
        path.write_bytes(data)
        Path(folder, "model.safetensors").write_bytes(TENSORS)
        Path(folder, "answers.json").write_bytes(encode(AnswerSet(source="toy/1", answers=())))
        prepared(path)


def _forms() -> list[bytes]:
    empty = blank(load(), TABLE, "2026-11-21T09:30:00Z")
    filled = re.sub(r'(?m)^(title|claim|author) = ""$', r'\1 = "x"', empty)
    first = load().source.criteria[0]  # the example gives a reason for it
    answered = filled.replace(f'\n{first.code} = ""\n', f'\n{first.code} = "{first.values[0]}"\n')
    return [filled.encode(), re.sub(r"(?m)^#(?! )", "", answered).encode()]


def _outcomes(data: bytes) -> None:
    """A journal of measurements, read and asked for all that is made of it."""
    found = kept(data, "toy/1")
    found.outcomes("p/1")
    found.seconds("p/1")
    found.evidence("p/1")


def _outcome_journals() -> list[bytes]:
    head = b'{"journal": 1, "subject": "toy/1"}\n'
    line = b'{"protocol": "p/1", "trial": "t 1", "kind": "t", "outcome": {"a": [1.5, null]}, "seconds": 0.25}\n'
    return [head, head + line, head + line * 2 + line[:30]]


def _artifact(media: str) -> Callable[[bytes], None]:
    """A file that goes along, which may be anybody's."""

    def check(data: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "artifact")
            path.write_bytes(data)
            check_contents(path, media)

    return check


TENSORS = save({"a": np.ones((2, 3), np.float32), "b": np.zeros(4, np.int8)}, metadata={"of": "a seed"})


def _arrays() -> list[bytes]:
    found = []
    for array in (np.ones((2, 3), np.float32), np.array(["a", "text"]), np.zeros(2, [("a", "<i8"), ("b", "f4", (2,))])):
        file = io.BytesIO()
        np.save(file, array, allow_pickle=False)
        found.append(file.getvalue())
    return found


# A user's words


def _words(data: bytes) -> None:
    """FTS5 understands what is made of them, whatever they are: sqlite3.Error would be a crash."""
    asked = expression(data.decode("utf-8", "replace"))
    FTS.execute("SELECT rowid FROM texts WHERE texts MATCH ?", (asked,)).fetchall()


FTS = sqlite3.connect(":memory:")
FTS.execute("CREATE VIRTUAL TABLE texts USING fts5(title, tags, body)")


TARGETS = {
    "records": Target(values.read, values.write, seeds.records),
    "envelope": Target(read, _envelope, seeds.entries),
    "judged": Target(judged.judge, None, seeds.bodies),
    "age_file": Target(lambda data: age.open(data, [ME]), None, _file, 128 * 1024),
    "age_header": Target(_header, _header_again, _file),
    "age_payload": Target(_payload, _payload_again, _payloads, 128 * 1024),
    "recipient": Target(_recipient, _cased, lambda: [str(ME.recipient).encode(), str(ME.recipient).upper().encode()]),
    "identity": Target(_identity, _cased, lambda: [ME.reveal().encode(), ME.reveal().lower().encode()], 256),
    "checkpoint": Target(parse, _note_again, lambda: [*seeds.notes(), *seeds.note_texts()]),
    "cosignatures": Target(_cosigned, None, seeds.notes),
    "add_checkpoint": Target(_request, add_checkpoint.encode_request, seeds.requests),
    "signature_lines": Target(witness.read_lines, b"".join, seeds.lines),
    "witness_answer": Target(_answer, None, lambda: [*seeds.lines(), b"0\n", b"7\n"]),
    "proofs": Target(_proof, None, seeds.proofs, 4 * 1024),
    "stream": Target(_stream, _stream_again, _streams),
    "bundle": Target(_bundle, None, _frames, 512 * 1024),
    "draft": Target(_draft, None, seeds.drafts),
    "code": Target(lambda data: parse_code(_text(data)), None, seeds.codes, 256),
    "content": Target(_content, None, _contents),
    "journal": Target(_journal, None, _journals, 8 * 1024),
    "frames": Target(frames.unpack, frames.pack, lambda: _frames()[:1], 512 * 1024),
    "relay_answer": Target(answering.heard, None, answering.answers),
    "relay": Target(relaying.answered, None, relaying.requests, 256 * 1024),
    "outcomes": Target(_outcomes, None, _outcome_journals, 8 * 1024),
    "form": Target(_form, None, _forms, 8 * 1024),
    "npy": Target(_artifact("application/x-npy"), None, _arrays, 16 * 1024),
    "safetensors": Target(_artifact("application/safetensors"), None, lambda: [TENSORS], 16 * 1024),
    "json": Target(_artifact("application/json"), None, lambda: [b'{"a": [1, 2.5, null, "b"]}'], 16 * 1024),
    "search": Target(_words, None, lambda: [b"heads", b'"two words" begin* NEAR(a b) OR c^'], 8 * 1024),
    "backup": Target(_archive, _archive_again, seeds.backups),
}
