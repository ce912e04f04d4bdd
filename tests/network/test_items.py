"""What is sealed is bound to where it was sealed for, by whom, and at which level."""

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darklantern.errors import DarkLanternError, RefusedError, SealError
from darklantern.network.items import (
    Binding,
    Posting,
    Sealed,
    _block,
    _lines,
    bucket,
    cut,
    open_artifact,
    open_content,
    seal_artifact,
    seal_content,
)
from darklantern.records.exact import encode
from darklantern.records.posts import Attachment, Mention, Post, Reaction, Retraction, Revision
from darklantern.sealing import Identity, open, recipient_of, seal
from network.world import NOW, circled, device, person

SEED = b"\5" * 32
HERE = Binding(kind="post", circle="a" * 64, epoch="b" * 64, author="c" * 64, level="V2")


def said(text: str) -> Posting:
    return Posting(content=Post(thread="0" * 64, text=text))


def sealed(text: str = "hello", binding: Binding = HERE) -> tuple[Sealed, dict[str, bytes]]:
    return seal_content(said(text), binding, recipient_of(SEED))


def made(plaintext: bytes, size: int) -> tuple[Sealed, dict[str, bytes]]:
    """Sealed by an author who does not use our writer, under a header that says this size."""
    ciphertext = seal(plaintext, [recipient_of(SEED)])
    pieces, digest = cut(ciphertext), hashlib.sha256(ciphertext).hexdigest()
    head = msgspec.structs.replace(sealed()[0].header, size=size, ciphertext=digest)
    return Sealed(header=head, pieces=tuple(pieces)), pieces


def test_a_post_comes_back_with_its_level() -> None:
    body, pieces = sealed()
    assert open_content(Posting, "post", body, pieces, SEED) == (said("hello"), "V2")


@pytest.mark.parametrize("field", ["circle", "epoch", "author"])
def test_p17_ciphertext_moved_to_another_circle_epoch_or_author_is_refused(field: str) -> None:
    """The thief signs a fresh header over somebody else's ciphertext, and its hash is right."""
    body, pieces = sealed()
    moved = msgspec.structs.replace(body, header=msgspec.structs.replace(body.header, **{field: "d" * 64}))
    with pytest.raises(RefusedError, match="names another circle, epoch, author, size or kind"):
        open_content(Posting, "post", moved, pieces, SEED)


def test_p17_a_post_cannot_be_passed_off_as_an_item_nor_with_another_size() -> None:
    body, pieces = sealed()
    with pytest.raises(RefusedError, match="or kind"):
        open_content(Posting, "item", body, pieces, SEED)
    resized = msgspec.structs.replace(body, header=msgspec.structs.replace(body.header, size=1024))
    with pytest.raises(RefusedError, match="size"):
        open_content(Posting, "post", resized, pieces, SEED)


@pytest.mark.parametrize(
    ("inside", "signed", "length"), [(4096, 2048, 2048), (2048, 4096, 4096), (2048, 2048, 4096), (2048, 2048, 2048)]
)
def test_p17_a_content_has_the_size_that_it_and_its_header_say(inside: int, signed: int, length: int) -> None:
    """Or a relay is told one size, and a reader gets another."""
    lying, pieces = made(_lines(_block(HERE, inside), encode(said("hello"))).ljust(length, b"\0"), signed)
    if inside == signed == length:
        assert open_content(Posting, "post", lying, pieces, SEED)[0] == said("hello")
    else:
        with pytest.raises(RefusedError, match="size"):
            open_content(Posting, "post", lying, pieces, SEED)


def test_p32_a_content_without_its_end_is_refused() -> None:
    """Its writer broke off, or it has another spelling."""
    data = encode(said("hello"))
    size = len(_lines(_block(HERE, 100), data)) - 1
    broken, pieces = made(_lines(_block(HERE, size), data)[:-1], size)
    with pytest.raises(SealError, match="a content line"):
        open_content(Posting, "post", broken, pieces, SEED)


def test_p17_a_record_whose_header_names_another_author_does_not_count() -> None:
    world, circle = circled()
    for name, value, reason in (
        ("author", device("ada").public.id, "another circle or author"),
        ("circle", "9" * 64, "another circle or author"),
        ("epoch", "9" * 64, "an epoch that does not count"),
    ):
        data, _ = world.post(circle, "bo", **{f"in_{name}": value})
        assert reason in world.put(data, circle)


def test_p1_any_changed_or_missing_piece_is_named() -> None:
    body, pieces = sealed()
    ((name, data),) = pieces.items()
    for altered in (data[:-1], data + b"\0", bytes([data[0] ^ 1]) + data[1:], b""):
        with pytest.raises(SealError, match=f"{name} is damaged"):
            open_content(Posting, "post", body, {name: altered}, SEED)
    with pytest.raises(SealError, match="1 of 1 pieces"):
        open_content(Posting, "post", body, {}, SEED)
    other = cut(seal(b"other", [recipient_of(SEED)]))
    swapped = msgspec.structs.replace(body, pieces=tuple(other))
    with pytest.raises(SealError, match="not the ciphertext"):
        open_content(Posting, "post", swapped, other, SEED)


@pytest.mark.parametrize("plaintext", [b"", b"{}", b"{}\n{}", b"not json\n{}\n", b"{}\n{}\n\0"])
def test_what_another_program_sealed_is_refused(plaintext: bytes) -> None:
    body, _ = sealed()
    ciphertext = seal(plaintext, [recipient_of(SEED)])
    head = msgspec.structs.replace(body.header, ciphertext=hashlib.sha256(ciphertext).hexdigest())
    pieces = cut(ciphertext)
    with pytest.raises(DarkLanternError):
        open_content(Posting, "post", Sealed(header=head, pieces=tuple(pieces)), pieces, SEED)


def test_nothing_hides_in_the_padding() -> None:
    body, pieces = sealed()
    plaintext = open(b"".join(pieces.values()), [Identity(SEED)])
    ciphertext = seal(plaintext[:-3] + b"psst"[:3], [recipient_of(SEED)])
    head = msgspec.structs.replace(body.header, ciphertext=hashlib.sha256(ciphertext).hexdigest())
    pieces = cut(ciphertext)
    with pytest.raises(RefusedError, match="padding"):
        open_content(Posting, "post", Sealed(header=head, pieces=tuple(pieces)), pieces, SEED)


def test_the_level_and_the_text_are_nowhere_outside() -> None:
    body, pieces = sealed("a telling text")
    outside = msgspec.json.encode(body) + b"".join(pieces.values())
    assert b'"V2"' not in outside and b"telling" not in outside


def test_texts_of_like_length_look_alike() -> None:
    sizes = {sealed("x" * n)[0].header.size for n in range(1, 1400, 7)}
    assert sizes == {2048}


def test_what_is_done_to_a_post_looks_like_a_short_post_and_fits_in_one_block_of_a_disk() -> None:
    one = "0" * 64
    sizes = set()
    for content in (
        Post(thread=one, text="hello"),
        Post(title="A title", text="hello"),
        Post(thread=one, reply_to=one, text="hello", mentions=(Mention(org="Beacon", person="bo"),)),
        Revision(thread=one, post=one, text="another text"),
        Reaction(thread=one, post=one, emoji="👍", action="add"),
        Reaction(thread=one, post=one, emoji="👍", action="remove"),
        Retraction(thread=one, post=one),
    ):
        body, pieces = seal_content(Posting(content=content), HERE, recipient_of(SEED))
        assert open_content(Posting, "post", body, pieces, SEED)[0].content == content
        (piece,) = pieces.values()
        sizes.add((body.header.size, len(body.attached), len(piece)))
    assert len(sizes) == 1 and sizes.pop()[2] <= 4096


def test_a_posts_files_are_those_that_it_names() -> None:
    artifact, _ = seal_artifact(b"data")
    named = Attachment(name="a.txt", media="text/plain", sha256=artifact.sha256, size=4)
    post = Post(thread="0" * 64, text="see there", attachments=(named,))
    whole = Posting(content=post, artifacts=(artifact,))
    body, pieces = seal_content(whole, HERE, recipient_of(SEED), artifact.pieces)
    assert open_content(Posting, "post", body, pieces, SEED)[0] == whole
    for content, artifacts in (
        (post, ()),
        (post, (artifact, artifact)),
        (post, (msgspec.structs.replace(artifact, size=5),)),
        (Retraction(thread="0" * 64, post="0" * 64), (artifact,)),
    ):
        with pytest.raises(ValueError, match="exactly the files"):
            Posting(content=content, artifacts=artifacts)


@given(st.integers(1, 1 << 40))
def test_buckets_cost_at_most_an_eighth(size: int) -> None:
    assert size <= bucket(size) <= max(1024, size * 1.125)
    assert bucket(bucket(size)) == bucket(size)


@given(st.integers(1, 3_000_000))
def test_the_length_of_a_text_always_finds_room(length: int) -> None:
    assert bucket(length + 20) >= length + 20


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 5000, 4 * 1024 * 1024])
def test_an_artifact_comes_back_under_its_own_seed(size: int) -> None:
    data = bytes(range(256)) * (size // 256) + b"\0" * (size % 256)
    artifact, pieces = seal_artifact(data)
    assert open_artifact(artifact, pieces) == data
    assert artifact.seed != seal_artifact(data)[0].seed
    assert all(len(piece) <= 4 * 1024 * 1024 for piece in pieces.values())
    with pytest.raises(SealError):
        open_artifact(msgspec.structs.replace(artifact, sha256="0" * 64), pieces)
    assert "secret not shown" in repr(artifact)


def test_p17_who_came_later_seals_to_no_epoch_from_before() -> None:
    """A link gave them its seed to read with. Sealed to it, their words would reach those who have left since."""
    world, circle = circled()
    first = world.view.circle(circle).epoch
    assert first is not None
    world.manifest("Beacon", person("bo"), person("ben"))
    world.pledge("Beacon", "ben")
    world.rotate(circle, "ada", NOW + 1)
    assert "not a member of epoch 1" in world.put(world.post(circle, "ben", in_epoch=first.id)[0], circle)


def test_p18_a_piece_opens_with_one_hybrid_stanza() -> None:
    _, pieces = sealed()
    (data,) = pieces.values()
    head = data[: data.index(b"\n---")]
    assert head.count(b"\n-> ") == head.count(b"\n-> mlkem768x25519 ") == 1
