"""What a member may write that is signed as it should be, and still makes no sense.

In: a kind and the body of a record, as bytes. It is signed by those who must sign such a kind, appended to its log by a
keeper who checks nothing, and judged by everybody's rules. Out: nothing: it counts, or it has a reason why it does not.
"""

from network.world import NOW, device, network_keys, org_keys

from darklantern.errors import RecordError
from darklantern.network import cosign
from darklantern.network.authoring import drafted
from darklantern.network.items import Binding, Package, Posting, cut, seal_content
from darklantern.network.reading import BODIES
from darklantern.records.exact import decode, encode
from darklantern.sealing import SUITES, Identity, open
from fuzz import seeds

_WRITER = Identity(bytes(32))


def judge(data: bytes) -> None:
    """Append a record with this body to either log. Raises RecordError for a body that is none, and nothing else."""
    kind, _, body = data.partition(b"\n")
    name = kind.decode("ascii", "replace")
    if name not in BODIES:
        raise RecordError("expected a kind first", hint="see seeds.bodies")
    value = decode(BODIES[name], body)  # type: ignore[index]
    world, circle = seeds.network()
    world = world.copy()
    if SUITES[name].several:
        admins = [device("ada").signing, device("bo").signing]
        keys = {"roster": network_keys("Aurora", "Beacon"), "org": org_keys("Aurora")}.get(name, admins)
        world.put(encode(cosign(drafted(world.net, name, value, NOW), keys)))  # type: ignore[arg-type]
        return
    for log in (world.net, circle):
        world.put(world.sign(log, name, value, "ada"), log)  # type: ignore[arg-type]


def plaintext(content: Package | Posting, binding: Binding) -> bytes:
    """What is sealed for `content`."""
    kind = "item" if isinstance(content, Package) else "post"
    where = Binding(kind, binding.circle, binding.epoch, binding.author, binding.level)
    sealed, pieces = seal_content(content, where, _WRITER.recipient)
    assert cut(b"".join(pieces.values())).keys() == pieces.keys()
    return open(b"".join(pieces[name] for name in sealed.pieces), [_WRITER])
