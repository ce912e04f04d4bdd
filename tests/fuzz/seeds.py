"""Where fuzzing starts: what our own writers make of a small network, with one finding, one artifact and one post.

In: nothing. Out: for each target, inputs that it accepts. Keys are made anew in each process, so no seed is kept.
"""

import io
from functools import cache

from library.orgs import assessment, finding
from network.world import NOW, PLEDGE, World, circled, cosign, device, log_key, org_keys

from darklantern.library.bundles import write_bundle
from darklantern.logs import add_checkpoint, checkpoint, merkle, witness
from darklantern.network.authoring import drafted
from darklantern.network.changing import next_circle, next_manifest, next_roster
from darklantern.network.circles import Removal
from darklantern.network.clock import text
from darklantern.network.deleting import Receipt, Tombstone
from darklantern.network.drafts import Draft, write_draft
from darklantern.network.handovers import Handover
from darklantern.network.heads import LogFork, origin
from darklantern.network.invitations import CODE, Code
from darklantern.network.items import Binding, Package, Posting, SealedArtifact, seal_artifact, seal_content
from darklantern.network.merging import LogCopy
from darklantern.network.pledges import Breach, Commitment
from darklantern.network.reading import read
from darklantern.network.vouching import Notice, Vouch
from darklantern.records.exact import Value, encode
from darklantern.records.posts import Attachment, Mention, Post, Reaction, Retraction, Revision
from darklantern.sealing import Recipient, WitnessKey
from darklantern.stores import archive
from darklantern.stores.passphrase import Cost, new_header
from fuzz import values

WITNESS = WitnessKey.generate()
WITNESS_NAME = "reef.example/witness"


@cache
def network() -> tuple[World, str]:
    """A network with a circle, two epochs of it, a post and an item."""
    world, circle = circled()
    world.rotate(circle, "ada")
    data, _ = world.post(circle, "ada")
    world.add(data, circle)
    epoch = world.view.circle(circle).epoch
    assert epoch
    binding = Binding("item", circle, epoch.id, device("ada").public.id, "V2")
    body, _ = seal_content(package(), binding, Recipient.parse(epoch.body.recipient))
    world.add(world.sign(circle, "item", body, "ada"), circle)
    return world, circle


@cache
def package() -> Package:
    what = finding()
    return Package(finding=what, assessment=assessment(what), artifacts=(artifact(),))


@cache
def artifact() -> SealedArtifact:
    return seal_artifact(b"notes")[0]


def said() -> tuple[Posting, ...]:
    """All that can be said in a thread."""
    thread, post = "0" * 64, "1" * 64
    attached = Attachment(name="notes", media="text/plain", sha256=artifact().sha256, size=5)
    return (
        Posting(content=Post(thread=thread, text="hello")),
        Posting(
            content=Post(
                title="A thread", text="hi", mentions=(Mention(org="Aurora", person="al"),), attachments=(attached,)
            ),
            artifacts=(artifact(),),
        ),
        Posting(content=Revision(thread=thread, post=post, text="hello again")),
        Posting(content=Reaction(thread=thread, post=post, emoji="👍", action="add")),
        Posting(content=Retraction(thread=thread, post=post)),
    )


@cache
def entries() -> tuple[bytes, ...]:
    """Every envelope of the network's logs."""
    world, _ = network()
    return tuple(data for log in world.logs.values() for data in log)


@cache
def notes() -> tuple[bytes, ...]:
    """A checkpoint of each log: as it is, and with a witness."""
    world, _ = network()
    found = []
    for log in world.logs:
        note, key = world.head(log).note, log_key("keeper").public
        line = witness.cosign(note, origin(key, log), key, WITNESS, WITNESS_NAME, NOW)
        found += [note, witness.with_cosignatures(note, [line])]
    return tuple(found)


def lines() -> tuple[bytes, ...]:
    """Signature lines as they stand under a note."""
    return tuple(note.partition(b"\n\n")[2] for note in notes())


@cache
def requests() -> tuple[bytes, ...]:
    """What a witness is asked: from nothing, and from the first entries on."""
    world, _ = network()
    found = []
    for log in world.logs:
        head, trail = world.head(log), world.view.trail(log)
        leaves = [merkle.leaf_hash(bytes.fromhex(each)) for each in trail.ids]
        for old in (0, 1, trail.size):
            request = add_checkpoint.Request(old, merkle.consistency(leaves, old), head.note)
            found.append(add_checkpoint.encode_request(request))
    return tuple(found)


@cache
def bundles() -> tuple[bytes, ...]:
    """All of both logs, one record that waits, and a piece."""
    world, circle = network()
    copies = [LogCopy(log, world.head(log).note, tuple(data)) for log, data in world.logs.items()]
    waiting, pieces = world.post(circle, "bo")
    sink = io.BytesIO()
    write_bundle(sink, world.net, device("ada"), copies, [waiting], pieces.values())
    return (sink.getvalue(),)


@cache
def records() -> tuple[bytes, ...]:
    """Every value in all of this, and those that only a device sees, each after the name of its type."""
    world, _ = network()
    note = notes()[0]
    found: list[Value] = [package(), *said(), WITNESS.public, checkpoint_fork(note)]
    found.append(new_header("passphrase", Cost(memory_kib=64, passes=1, lanes=1))[0])
    for data in entries():
        taken = read(data)
        found += [taken.envelope, taken.record, taken.body]
    found += world.terms.values()
    whole = {values.write(each): None for value in found for each in values.within(value)}
    return tuple(whole)


def checkpoint_fork(note: bytes) -> LogFork:
    return LogFork(log="0" * 64, first=note, second=note, leaves=("f" * 64,))


@cache
def drafts() -> tuple[bytes, ...]:
    """The next version of each thing that several sign: in the clear, and sealed."""
    world, circle = network()
    state = world.view.network
    roster = next_roster(state.rosters[-1], now=NOW, until=NOW)
    manifest = next_manifest("Aurora", state.manifests["Aurora"][-1], remove=["al"])
    changed = next_circle(circle, state.circles[circle][-1], freshness=60)
    made = [
        Draft(envelope=drafted(world.net, "roster", roster, NOW)),
        Draft(envelope=cosign(drafted(world.net, "org", manifest, NOW), org_keys("Aurora"))),
        Draft(envelope=drafted(world.net, "circle", changed, NOW), terms=world.terms[circle]),
    ]
    return (*(write_draft(each, state) for each in made), encode(made[-1]))


def codes() -> tuple[bytes, ...]:
    """Spoken codes."""
    return tuple(Code(secret=bytes([each]) * CODE).spoken().encode() for each in (0, 7, 255))


def proofs() -> tuple[bytes, ...]:
    """Proofs of both kinds in the form that the target takes: a letter, two numbers, hashes."""
    leaves = [merkle.leaf_hash(bytes([at])) for at in range(7)]
    found = []
    for size in range(1, 8):
        top = merkle.root(leaves[:size])
        for at in range(size):
            parts = [leaves[at], top, *merkle.inclusion(leaves[:size], at)]
            found.append(b"i" + at.to_bytes(8, "big") + size.to_bytes(8, "big") + b"".join(parts))
            parts = [merkle.root(leaves[:at]), top, *merkle.consistency(leaves[:size], at)]
            found.append(b"c" + at.to_bytes(8, "big") + size.to_bytes(8, "big") + b"".join(parts))
    return tuple(found)


def note_texts() -> tuple[bytes, ...]:
    """Checkpoints that nobody signed, in all sizes."""
    made = [checkpoint.Checkpoint("a", size, merkle.EMPTY_ROOT) for size in (0, 1, 10, (1 << 63) - 1)]
    return tuple(each.text().encode() + b"\n" for each in made)


def bodies() -> tuple[bytes, ...]:
    """Bodies of records of every kind, each after its kind."""
    world, circle = network()
    ada, phone = device("ada").public.id, device("ada's phone").public.id
    post = world.view.trail(circle).ids[-2]
    said: list[tuple[str, Value]] = [(each.record.kind, each.body) for each in map(read, entries())]
    said += [
        ("breach", Breach(org="Aurora", person="al", pledge=PLEDGE.name, time=text(NOW), reason="trained on it")),
        ("commitment", Commitment(name="no-frontier", version=2, basis="nda", reference="of 2026", text="I will not.")),
        ("removal", Removal(circle=circle, org="Aurora", person="ada", device=phone, reason="lost")),
        ("notice", Notice(circle=circle, device=phone)),
        ("vouch", Vouch(device=phone, seen=notes()[0])),
        ("handover", Handover(device=ada, sealed=b"sealed")),
        ("tombstone", Tombstone(target=post)),
        ("receipt", Receipt(targets=(post,))),
    ]
    return tuple(f"{kind}\n".encode() + encode(body) for kind, body in said)


def backups() -> tuple[bytes, ...]:
    """An archive with each sort of file, and an empty one."""
    piece = "ab" * 32
    files = {archive.HEADER: b"{}", archive.DATABASE: bytes(600), archive.piece_path(piece): b"piece"}
    members = [archive.Member(name, len(data), [data]) for name, data in files.items()]
    return tuple(b"".join(archive.pack(some)) for some in ([], members))
