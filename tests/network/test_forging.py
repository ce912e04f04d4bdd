"""Whoever holds a log's key and stores every record, and has nobody else's keys: a relay. P1 and P6, kind by kind."""

import random
from collections.abc import Callable

import msgspec
import pytest

from darklantern.errors import DarkLanternError, SignatureError
from darklantern.network import Admin, View, append, effective
from darklantern.network.authoring import drafted
from darklantern.network.circles import Circle
from darklantern.network.clock import text
from darklantern.network.epochs import new_epoch
from darklantern.network.heads import sign_head
from darklantern.network.manifests import OrgManifest
from darklantern.network.merging import LogCopy, merge
from darklantern.network.pledges import Pledge
from darklantern.network.reading import BODIES, Body, leaf_id, read
from darklantern.network.rosters import Org, OrgRoot, Roster
from darklantern.network.vouching import Vouch
from darklantern.records.exact import encode
from darklantern.records.record import Kind
from darklantern.sealing import Envelope, Signature, Signer, SigningKey
from darklantern.sealing.envelope import add_signature, pae
from network.every_kind import every_kind, said, step_by_step
from network.world import NOW, PLEDGE, YEAR, World, circled, device, key, log_key, person

RELAY = SigningKey.generate()
KINDS = sorted(BODIES)


def flipped(data: bytes, bit: int) -> bytes:
    return data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :]


def some_bits(data: bytes, chance: random.Random, count: int = 80) -> list[int]:
    """Spread over payload, key ids and signatures, wherever they lie."""
    return sorted(chance.sample(range(len(data) * 8), count))


@pytest.mark.parametrize("kind", KINDS)
def test_p1_any_bit_altered_in_any_kind_of_record_counts_for_nothing_and_is_named(kind: str) -> None:
    """Even by a relay that appends: it can sign a checkpoint over whatever bytes it likes."""
    world, _ = every_kind()
    chance, tried = random.Random(kind), 0
    for view, log, position, data in step_by_step(world):
        if read(data).record.kind != kind or (log, position) == (world.net, 0):
            continue
        for bit in some_bits(data, chance):
            try:
                after = append(view, log, flipped(data, bit))
            except DarkLanternError:
                continue  # it is not even an envelope
            assert said(after) == said(view), (log, position, bit)
            leaf = next(each for each in after.opaque if each not in view.opaque)
            assert (leaf.log, leaf.position, leaf.belongs) == (log, position, False) and leaf.reason
            tried += 1
    assert tried


def test_p1_a_first_roster_with_any_bit_altered_founds_nothing() -> None:
    world, _ = every_kind()
    data = world.logs[world.net][0]
    for bit in some_bits(data, random.Random(1)):
        try:
            view = append(View(world.net), world.net, flipped(data, bit))
        except DarkLanternError:
            continue
        assert not view.network.rosters and view.opaque[0].position == 0


@pytest.mark.parametrize("kind", KINDS)
def test_p1_without_the_logs_key_an_altered_payload_is_refused_naming_the_log(kind: str) -> None:
    """The note is the real one: it covers other ids, so nothing at all is taken."""
    world, _ = every_kind()
    notes = {log: world.head(log).note for log in world.logs}
    places = [(log, n) for log, entries in world.logs.items() for n, each in enumerate(entries)]
    for log, position in places:
        found = read(world.logs[log][position])
        if found.record.kind != kind:
            continue
        payload = found.envelope.payload.replace(b'"time":"2026', b'"time":"2025', 1)
        assert payload != found.envelope.payload
        altered = encode(msgspec.structs.replace(found.envelope, payload=payload))
        copies = [
            LogCopy(
                each, notes[each], tuple(altered if (each, n) == (log, position) else d for n, d in enumerate(data))
            )
            for each, data in world.logs.items()
        ]
        with pytest.raises(DarkLanternError, match=log[:8]):
            merge(View(world.net), {}, copies, kept=frozenset(), clock=NOW, confirmed=False)


def test_p16_of_two_copies_of_an_entry_the_one_with_its_signatures_stays_in_either_order() -> None:
    """Ids and roots leave signatures out: the order in which copies come must not."""
    world, circle = circled()
    world.add(world.post(circle, "bo")[0], circle)
    real = world.logs[circle][-1]
    envelope = read(real).envelope
    (signer,) = envelope.signers
    (signature,) = signer.signatures
    spoiled = [
        encode(msgspec.structs.replace(envelope, signers=(msgspec.structs.replace(signer, signatures=(other,)),)))
        for other in (msgspec.structs.replace(signature, sig=flipped(signature.sig, bit)) for bit in (0, 99))
    ]

    def taken(*copies: bytes) -> tuple[View, tuple[bytes, ...]]:
        view, entries = View(world.net), {}
        for copy in copies:
            logs = {world.net: tuple(world.logs[world.net]), circle: (*world.logs[circle][:-1], copy)}
            given = [LogCopy(log, world.head(log).note, data) for log, data in logs.items()]
            merged = merge(view, entries, given, kept=frozenset(), clock=NOW, confirmed=False)
            view, entries = merged.view, merged.entries
        return view, entries[circle]

    view, entries = taken(real)
    for copies in ((real, spoiled[0]), (spoiled[0], real), (spoiled[0], spoiled[1], real), (real, *spoiled)):
        again, held = taken(*copies)
        assert (said(again), held) == (said(view), entries) and not again.opaque
    # Where neither helps, what is held stays, or whoever sends the last one would decide what waits.
    assert taken(*spoiled)[1][-1] == spoiled[0]


class HalfFallen:
    """A log's key to whoever can sign by one of its two algorithms."""

    def __init__(self, fallen: str) -> None:
        self.public = log_key("keeper").public
        self._fallen = fallen

    def sign(self, algorithm: str, message: bytes) -> bytes:
        return log_key("keeper" if algorithm == self._fallen else "a relay's own").sign(algorithm, message)


@pytest.mark.parametrize("fallen", ["ed25519", "mldsa44"])
def test_p1_a_checkpoint_by_one_of_its_logs_algorithms_alone_is_refused(fallen: str) -> None:
    world, circle = circled()
    posted = world.copy()
    posted.add(world.post(circle, "bo")[0], circle)
    notes = {log: world.head(log).note for log in world.logs}
    notes[circle] = sign_head(posted.view.trail(circle), circle, HalfFallen(fallen), NOW).note  # type: ignore[arg-type]
    copies = [LogCopy(log, notes[log], tuple(data)) for log, data in posted.logs.items()]
    with pytest.raises(SignatureError):
        merge(View(world.net), {}, copies, kept=frozenset(), clock=NOW, confirmed=False)


# P6: what a relay would have to write to let somebody in

Forger = Callable[[Envelope, Envelope], Envelope]
"""From a draft without signatures, and the newest real record of its kind, whatever the relay makes of the two."""


def signed_as(envelope: Envelope, keyid: str, by: SigningKey) -> Signer:
    message = pae(envelope.payload_type, envelope.payload)
    suite = [
        s.algorithm for s in add_signature(msgspec.structs.replace(envelope, signers=()), by).signers[0].signatures
    ]
    return Signer(keyid=keyid, signatures=tuple(Signature(algorithm=a, sig=by.sign(a, message)) for a in suite))


def by_its_own_key(draft: Envelope, real: Envelope) -> Envelope:
    return add_signature(draft, RELAY)


def in_the_names_of_the_real_signers(draft: Envelope, real: Envelope) -> Envelope:
    signers = tuple(signed_as(draft, signer.keyid, RELAY) for signer in real.signers)
    return msgspec.structs.replace(draft, signers=signers)


def with_signatures_of_another_record(draft: Envelope, real: Envelope) -> Envelope:
    return msgspec.structs.replace(draft, signers=real.signers)


def as_if_ed25519_had_fallen(draft: Envelope, real: Envelope) -> Envelope:
    """It signs by that algorithm in anybody's name, and leaves the other one out. No kind here is of one algorithm."""
    signers = [each for each in KEYS if each.public.id in {signer.keyid for signer in real.signers}]
    whole = [signed_as(draft, signer.public.id, signer) for signer in signers]
    halves = (msgspec.structs.replace(signer, signatures=signer.signatures[:1]) for signer in whole)
    return msgspec.structs.replace(draft, signers=tuple(sorted(halves, key=lambda signer: signer.keyid)))


def as_if_ed25519_had_fallen_and_something_in_the_others_place(draft: Envelope, real: Envelope) -> Envelope:
    fallen, own = as_if_ed25519_had_fallen(draft, real), in_the_names_of_the_real_signers(draft, real)
    signers = (
        msgspec.structs.replace(half, signatures=(*half.signatures, *forged.signatures[1:]))
        for half, forged in zip(fallen.signers, own.signers, strict=True)
    )
    return msgspec.structs.replace(draft, signers=tuple(signers))


def unsigned(draft: Envelope, real: Envelope) -> Envelope:
    return draft


def with_one_real_signer_too_few(draft: Envelope, real: Envelope) -> Envelope:
    """One insider helps: a root of the two that it takes, or an admin of the quorum. One device helps with nothing."""
    if len(real.signers) == 1:
        return by_its_own_key(draft, real)
    (insider,) = [each for each in INSIDERS if each.public.id == real.signers[0].keyid]
    return add_signature(draft, insider)


def with_an_insider_and_itself(draft: Envelope, real: Envelope) -> Envelope:
    helped = with_one_real_signer_too_few(draft, real)
    return helped if len(real.signers) == 1 else add_signature(helped, RELAY)


INSIDERS = [
    *(key(f"network {org}") for org in ("Aurora", "Beacon", "Cairn")),
    *(key(f"{org} {who}") for org in ("Aurora", "Beacon") for who in ("first", "second")),
    *(device(who).signing for who in ("ada", "bo")),
]
KEYS = [*INSIDERS, device("ada's phone").signing]
FORGERS: list[Forger] = [
    by_its_own_key,
    in_the_names_of_the_real_signers,
    with_signatures_of_another_record,
    as_if_ed25519_had_fallen,
    as_if_ed25519_had_fallen_and_something_in_the_others_place,
    unsigned,
    with_one_real_signer_too_few,
    with_an_insider_and_itself,
]


def last(world: World, kind: str, of: str = "") -> Envelope:
    """The newest real record of a kind; of one org, if it is named."""
    records = [read(data) for entries in world.logs.values() for data in entries]
    return [r.envelope for r in records if r.record.kind == kind and of in (getattr(r.body, "org", of), "")][-1]


def another_org(world: World, circle: str) -> tuple[Kind, Body, str]:
    old = world.view.network.rosters[-1]
    eve = Org(
        name="Eve",
        roots=(OrgRoot(person="eve", key=RELAY.public),),
        threshold=1,
        admitted=text(NOW),
        reason="a friend",
    )
    new: Roster = msgspec.structs.replace(
        old.body, version=old.body.version + 1, previous=old.id, orgs=(*old.body.orgs, eve)
    )
    return "roster", new, ""


def another_device(world: World, circle: str) -> tuple[Kind, Body, str]:
    return "org", manifest(world, "Aurora", person("ada", "ada", "ada's phone", "eve"), person("al")), "Aurora"


def another_person(world: World, circle: str) -> tuple[Kind, Body, str]:
    return "org", manifest(world, "Beacon", person("bo"), person("eve")), "Beacon"


def manifest(world: World, org: str, *people: object) -> OrgManifest:
    old = world.view.network.manifests[org][-1]
    return msgspec.structs.replace(old.body, version=old.body.version + 1, previous=old.id, people=people)


def circle_with(world: World, circle: str, **changes: object) -> Circle:
    old = world.view.network.circles[circle][-1]
    following = {"circle": circle, "version": old.body.version + 1, "previous": old.id}
    return msgspec.structs.replace(old.body, **(following | changes))


def an_org_into_the_circle(world: World, circle: str) -> tuple[Kind, Body, str]:
    return "circle", circle_with(world, circle, orgs=("Aurora", "Beacon", "Cairn")), ""


def an_admin(world: World, circle: str) -> tuple[Kind, Body, str]:
    admins = (*world.view.rules(circle).admins, Admin(org="Aurora", person="al"))
    return "circle", circle_with(world, circle, admins=admins), ""


def whom_somebody_removed(world: World, circle: str) -> tuple[Kind, Body, str]:
    return "circle", circle_with(world, circle, restored=tuple(sorted(world.view.network.removals))), ""


def a_pledge(world: World, circle: str) -> tuple[Kind, Body, str]:
    return "pledge", Pledge(org="Beacon", person="bo", pledge=PLEDGE, until=text(NOW + 9 * YEAR)), ""


def a_vouch(world: World, circle: str) -> tuple[Kind, Body, str]:
    return "vouch", Vouch(device=device("ada's phone").public.id), ""


def an_epoch_that_it_can_open(world: World, circle: str) -> tuple[Kind, Body, str]:
    newest = world.view.circle(circle).epoch
    assert newest is not None
    members = effective(world.view.network, circle, NOW + 1).members
    recipients = [(m.id, m.device.receiver()) for m in members]
    body, _ = new_epoch(circle, recipients, previous=None, as_of=text(NOW + 1), terms=world.terms[circle], dropped=())
    changes = {"number": newest.body.number + 1, "previous": newest.id, "link": newest.body.link}
    return "epoch", msgspec.structs.replace(body, **changes), ""


@pytest.mark.parametrize("forger", FORGERS, ids=lambda forger: forger.__name__)
@pytest.mark.parametrize(
    "wanted",
    [
        another_org,
        another_device,
        another_person,
        an_org_into_the_circle,
        an_admin,
        whom_somebody_removed,
        a_pledge,
        a_vouch,
        an_epoch_that_it_can_open,
    ],
    ids=lambda wanted: wanted.__name__,
)
def test_p6_a_relay_lets_nobody_in(wanted, forger: Forger) -> None:
    world, circle = every_kind()
    kind, body, of = wanted(world, circle)
    real = last(world, kind, of)
    draft = as_if_by(world, circle, kind, body, real)
    forged = forger(draft, real)
    log = circle if kind == "epoch" else world.net
    before = world.view
    assert world.put(encode(forged), log)  # it appends what it likes, and gives no reason
    assert said(world.view) == said(before)
    assert world.view.circle(circle).epoch == before.circle(circle).epoch
    members = effective(world.view.network, circle, NOW + 1).ids
    assert members == effective(before.network, circle, NOW + 1).ids
    # The same records do count once those sign them who may: it is the signatures that were missing.
    if wanted is not an_epoch_that_it_can_open:
        world.view = before
        signers = [each for each in INSIDERS if each.public.id in {signer.keyid for signer in real.signers}]
        honest = draft
        for signer in signers:
            honest = add_signature(honest, signer)
        assert world.put(encode(honest), log) == ""
        assert said(world.view) != said(before)


def as_if_by(world: World, circle: str, kind: Kind, body: Body, real: Envelope) -> Envelope:
    """The record without a signature, at the place where its real author's next one would stand."""
    found = read(encode(real))
    if len(real.signers) > 1:
        return drafted(world.net, kind, body, NOW)
    (author,) = [
        name for name in ("ada", "bo", "al", "ada's phone") if device(name).public.id == found.record.author_device
    ]
    data = world.sign(circle if kind == "epoch" else world.net, kind, body, author)
    return msgspec.structs.replace(read(data).envelope, signers=())


def test_p6_whoever_keeps_a_log_signs_for_nobody_in_it() -> None:
    """The log's own key is not a device's and not a root's, whatever algorithms they share."""
    world, _ = circled()
    log = log_key("keeper")
    data = world.sign(world.net, "pledge", Pledge(org="Beacon", person="bo", pledge=PLEDGE, until=text(NOW)), "bo")
    envelope = read(data).envelope
    message = pae(envelope.payload_type, envelope.payload)
    for keyid in (log.public.id, envelope.signers[0].keyid):
        signatures = (
            Signature(algorithm="ed25519", sig=log.sign("ed25519", message)),
            *envelope.signers[0].signatures[1:],
        )
        forged = msgspec.structs.replace(envelope, signers=(Signer(keyid=keyid, signatures=signatures),))
        before = world.view
        assert world.put(encode(forged))
        assert said(world.view) == said(before)


def test_p6_a_checkpoint_over_forged_entries_brings_them_into_the_log_and_not_to_count() -> None:
    """What a member sees who syncs with such a relay: the entry, at its place, with the reason."""
    world, circle = every_kind()
    kind, body, of = another_device(world, circle)
    forged = encode(in_the_names_of_the_real_signers(drafted(world.net, kind, body, NOW), last(world, kind, of)))
    honest = world.view
    world.put(forged)
    copies = [
        LogCopy(log, sign_head(world.view.trail(log), log, log_key("keeper"), NOW + 2).note, tuple(data))
        for log, data in world.logs.items()
    ]
    seen = merge(View(world.net), {}, copies, kept=frozenset(), clock=NOW, confirmed=False).view
    assert said(seen) == said(honest)
    (leaf,) = seen.opaque
    assert (leaf.id, leaf.unsigned) == (leaf_id(forged), True)
