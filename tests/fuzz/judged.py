"""What a member may write that is signed as it should be, and still makes no sense.

In: a kind and the body of a record, as bytes. It is signed by those who must sign such a kind, appended to its log by a
keeper who checks nothing, and judged by everybody's rules. Out: nothing: it counts, or it has a reason why it does not.
"""

from collections.abc import Callable

from network.world import NOW, device, network_keys, org_keys

from darklantern.errors import RecordError
from darklantern.network import cosign, draft_circle, draft_manifest, draft_roster
from darklantern.network.items import Binding, Package, cut, seal_content
from darklantern.network.reading import BODIES
from darklantern.records.exact import decode, encode
from darklantern.records.posts import Post
from darklantern.sealing import Identity, open
from fuzz import seeds

_WRITER = Identity(bytes(32))


def judge(data: bytes) -> str:
    """The reason why the record does not count, or ''. Raises RecordError for a body that is none, and nothing else."""
    kind, _, body = data.partition(b"\n")
    name = kind.decode("ascii", "replace")
    if name not in BODIES:
        raise RecordError("expected a kind first", hint="see seeds.bodies")
    value = decode(BODIES[name], body)  # type: ignore[index]
    world, circle = seeds.network()
    world = world.copy()
    log = circle if name in ("epoch", "item", "post") else world.net
    several: dict[str, Callable[[], bytes]] = {
        "roster": lambda: encode(cosign(draft_roster(value, NOW), network_keys("Aurora", "Beacon"))),
        "org": lambda: encode(cosign(draft_manifest(world.net, value, NOW), org_keys("Aurora"))),
        "circle": lambda: encode(cosign(draft_circle(world.net, value, NOW), _admins())),
    }
    make = several.get(name, lambda: world.sign(log, name, value, "ada"))
    return world.put(make(), log)


def plaintext(content: Package | Post, binding: Binding) -> bytes:
    """What is sealed for `content`."""
    kind = "item" if isinstance(content, Package) else "post"
    where = Binding(kind, binding.circle, binding.epoch, binding.author, binding.level)
    sealed, pieces = seal_content(content, where, _WRITER.recipient)
    assert cut(b"".join(pieces.values())).keys() == pieces.keys()
    return open(b"".join(pieces[name] for name in sealed.pieces), [_WRITER])


def _admins() -> list:
    return [device("ada").signing, device("bo").signing]
