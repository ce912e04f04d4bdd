"""Items and posts: what is sealed to an epoch, bound to its circle, epoch and author.

In: a finding or a post and an epoch's recipient, or pieces of ciphertext and a seed. Out: the
other. The signed header stands outside; the first plaintext block repeats it, so that ciphertext
moved to another circle, epoch or author is refused. Level and title are nowhere outside.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from blake3 import blake3

from darklantern.errors import RefusedError, SealError
from darklantern.network.epochs import Seed
from darklantern.network.links import MOST_LINKS, MOST_TAGS, Link, Tag, check_order
from darklantern.network.secret_values import SecretValue
from darklantern.records.assessments import Assessment, Level
from darklantern.records.exact import Sha256, Value, decode, encode
from darklantern.records.findings import Finding
from darklantern.records.posts import Content, Post
from darklantern.sealing import Identity, Recipient, open, seal

PIECE: Final = 4 * 1024 * 1024
"""Bytes. Fixed: cutting by content would let a relay recognise what it holds."""

Blake3 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
SealedKind = Literal["item", "post"]
Pieces = Mapping[str, bytes]
"""BLAKE3 in hex → one piece of ciphertext"""

_SMALLEST: Final = 1024
_SMALLEST_POST: Final = 2048
"""Bytes, so that a reaction looks like a short post. Sealed, it still fits in one 4 KiB block of a disk."""
_DIGITS: Final = 20
_Content = TypeVar("_Content", "Package", "Posting")


class Header(Value, frozen=True, kw_only=True):
    """What is signed about a sealed content, and seen by a relay."""

    circle: Sha256
    epoch: Sha256
    author: Sha256
    """device id"""
    size: Annotated[int, msgspec.Meta(ge=1)]
    """bytes of plaintext, padded to one of few sizes"""
    ciphertext: Sha256


class Sealed(Value, frozen=True, kw_only=True):
    """The body of an item's or a post's record. The ciphertext lies beside the log, in pieces."""

    v: Literal[1] = 1
    header: Header
    pieces: Annotated[tuple[Blake3, ...], msgspec.Meta(min_length=1)]
    """the ciphertext of the content, in order"""
    attached: tuple[Blake3, ...] = ()
    """the ciphertexts of artifacts; which piece belongs to which is said inside"""

    @property
    def names(self) -> tuple[str, ...]:
        """All pieces that it names."""
        return (*self.pieces, *self.attached)


class Block(Value, frozen=True, kw_only=True):
    """The first plaintext block."""

    v: Literal[1] = 1
    kind: SealedKind
    circle: Sha256
    epoch: Sha256
    author: Sha256
    size: int
    level: Level


class SealedArtifact(SecretValue, frozen=True, kw_only=True):
    """An artifact under a seed of its own, so that it is sealed once however often it is shared."""

    sha256: Sha256
    """of the plaintext"""
    size: Annotated[int, msgspec.Meta(ge=0)]
    """bytes of plaintext before padding"""
    seed: Seed
    pieces: Annotated[tuple[Blake3, ...], msgspec.Meta(min_length=1)]


class Package(SecretValue, frozen=True, kw_only=True):
    """What an item holds."""

    v: Literal[1] = 1
    finding: Finding
    assessment: Assessment
    artifacts: tuple[SealedArtifact, ...]
    supersedes: Sha256 | None = None
    """the item of which this is a new version; by anybody but that item's author it is only a link"""
    links: Annotated[tuple[Link, ...], msgspec.Meta(max_length=MOST_LINKS)] = ()
    tags: Annotated[tuple[Tag, ...], msgspec.Meta(max_length=MOST_TAGS)] = ()
    """words for people; what is said of use and handling are the circle's markings"""

    def __post_init__(self) -> None:
        """One content, one byte string."""
        check_order(self.links, self.tags)


class Posting(SecretValue, frozen=True, kw_only=True):
    """What a post's record holds. One kind of record for all of them: a relay cannot tell a reaction from a reply."""

    v: Literal[1] = 1
    content: Content
    artifacts: tuple[SealedArtifact, ...] = ()
    """the files that a post names as its attachments, in that order"""

    def __post_init__(self) -> None:
        named = self.content.attachments if isinstance(self.content, Post) else ()
        if [(each.sha256, each.size) for each in named] != [(each.sha256, each.size) for each in self.artifacts]:
            raise ValueError("expected exactly the files that the post names as its attachments")


@dataclass(frozen=True)
class Binding:
    """Where a content is sealed into, and by whom."""

    kind: SealedKind
    circle: str
    epoch: str
    author: str
    level: Level


def finding_hash(finding: Finding) -> Sha256:
    """The SHA-256 by which an assessment names its finding."""
    return hashlib.sha256(encode(finding)).hexdigest()


def cut(ciphertext: bytes) -> dict[str, bytes]:
    """The pieces of a ciphertext in order, under their BLAKE3 names."""
    pieces = [ciphertext[at : at + PIECE] for at in range(0, len(ciphertext), PIECE)]
    return {blake3(piece).hexdigest(): piece for piece in pieces}


def bucket(size: int) -> int:
    """`size` rounded up to one of few sizes (Padmé): at most 12 % more, and the exact length stays hidden."""
    size = max(size, _SMALLEST)
    exponent = size.bit_length() - 1
    spare = (1 << exponent - exponent.bit_length()) - 1
    return (size + spare) & ~spare


def seal_artifact(data: bytes) -> tuple[SealedArtifact, dict[str, bytes]]:
    """`data` sealed to a fresh seed, and its pieces. The seed goes inside the item."""
    identity = Identity.generate()
    pieces = cut(seal(data.ljust(bucket(len(data)), b"\0"), [identity.recipient]))
    sealed = SealedArtifact(
        sha256=hashlib.sha256(data).hexdigest(), size=len(data), seed=identity.seed, pieces=tuple(pieces)
    )
    return sealed, pieces


def open_artifact(artifact: SealedArtifact, pieces: Pieces) -> bytes:
    """The artifact's bytes, with their hash checked. Raises SealError."""
    padded = open(_join(artifact.pieces, pieces), [Identity(artifact.seed)])
    data = padded[: artifact.size]
    if hashlib.sha256(data).hexdigest() != artifact.sha256 or padded[artifact.size :].strip(b"\0"):
        raise SealError(
            f"expected an artifact of {artifact.size} bytes with SHA-256 {artifact.sha256}, got other bytes",
            hint="its author sealed something else than the finding names; ask them",
        )
    return data


def seal_content(
    content: Package | Posting, binding: Binding, recipient: Recipient, attached: Sequence[str] = ()
) -> tuple[Sealed, dict[str, bytes]]:
    """The signed body and the pieces for `content`, bound to where it is going."""
    data = encode(content)
    # The block states the size that it helps to make: leave room for the digits of any size.
    size = bucket(max(len(_lines(_block(binding, 0), data)) + _DIGITS, _SMALLEST_POST if binding.kind == "post" else 0))
    ciphertext = seal(_lines(_block(binding, size), data).ljust(size, b"\0"), [recipient])
    pieces = cut(ciphertext)
    head = Header(
        circle=binding.circle,
        epoch=binding.epoch,
        author=binding.author,
        size=size,
        ciphertext=hashlib.sha256(ciphertext).hexdigest(),
    )
    return Sealed(header=head, pieces=tuple(pieces), attached=tuple(attached)), pieces


def open_content(
    content: type[_Content], kind: SealedKind, sealed: Sealed, pieces: Pieces, seed: bytes
) -> tuple[_Content, Level]:
    """The content and its level, after comparing the first block with the signed header.

    Raises SealError for damaged or missing pieces, RefusedError for ciphertext that was sealed for
    another circle, epoch, author or kind, and RecordError for a content of another shape.
    """
    ciphertext = _join(sealed.pieces, pieces)
    head = sealed.header
    if hashlib.sha256(ciphertext).hexdigest() != head.ciphertext:
        raise SealError("the pieces are not the ciphertext that the author signed", hint="fetch the item again")
    plaintext = open(ciphertext, [Identity(seed)])
    first, data, padding = _split(plaintext)
    block = decode(Block, first)
    said = (block.kind, block.circle, block.epoch, block.author, block.size)
    if said != (kind, head.circle, head.epoch, head.author, head.size) or len(plaintext) != head.size:
        raise RefusedError(
            "the sealed content names another circle, epoch, author, size or kind than the signed header",
            hint="somebody moved ciphertext that is not theirs; show this item to the circle's admins",
        )
    if padding.strip(b"\0"):
        raise RefusedError("the padding holds data", hint="ask the author to share the item again")
    return decode(content, data), block.level


def _block(binding: Binding, size: int) -> Block:
    return Block(
        kind=binding.kind,
        circle=binding.circle,
        epoch=binding.epoch,
        author=binding.author,
        size=size,
        level=binding.level,
    )


def _lines(block: Block, data: bytes) -> bytes:
    return encode(block) + b"\n" + data + b"\n"  # exact JSON holds no line feed


def _split(plaintext: bytes) -> tuple[bytes, bytes, bytes]:
    first, _, rest = plaintext.partition(b"\n")
    data, end, padding = rest.partition(b"\n")
    if not end:
        raise SealError("expected a block line, a content line and padding", hint="another program sealed this")
    return first, data, padding


def _join(names: Sequence[str], pieces: Pieces) -> bytes:
    missing = [name for name in names if name not in pieces]
    if missing:
        raise SealError(
            f"{len(missing)} of {len(names)} pieces of ciphertext are not here, the first is {missing[0]}",
            hint="import a bundle that carries them; the author or the log's keeper has them",
        )
    for name in names:
        if blake3(pieces[name]).hexdigest() != name:
            raise SealError(f"the piece {name} is damaged", hint="import a bundle that carries it again")
    return b"".join(pieces[name] for name in names)
