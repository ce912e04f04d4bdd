"""A network of three orgs, each with a relay: founded by commands, and by files that are carried between machines."""

import json
from pathlib import Path

from hosts.offices import Office, hand

PROMISE = "I will not use what I read here to push the capabilities frontier.\n"
_MIRROR = """
[[peers]]
name = "{name}"
card = "{card}"
"""


def found(offices: tuple[Office, Office, Office], circle: str) -> None:
    """The first one's relay appends, the others' mirror it. All are in the circle, whose admins are the first two."""
    ada, bo, cy = offices
    # 1. Keys, and cards of people and relays.
    for office in offices:
        office("device", "new", "--org", office.org, "--person", office.person, "--name", office.name)
        for role in ("network", "org"):
            office("org", "root", role)
        office("device", "card", "--out", _card(office))
        office.card.write_text(office.keeps("init", "--listen", office.machine.address))
        hand(_card(office), ada)
        hand(office.card, *offices)
    # 2. The roster names the relays, and the first one's key for the network's log.
    cards = [ada.machine.disk / _card(office).name for office in offices]
    relays = [word for office in offices for word in ("--relay", f"{office.org}/{office.org.lower()}={office.card}")]
    roster = ada.machine.disk / "roster.draft"
    ada("org", "found", *cards, "--name", "Lantern", "--keeper", ada.card, *relays, "--out", roster)
    roster = signed(roster, ada, bo)
    hand(roster, ada, cy)
    nets = {office("draft", "publish", office.machine.disk / roster.name)["net"] for office in offices}
    # 3. Each org lists its people, and the relays begin.
    manifests = []
    for office in offices:
        manifests.append(office.machine.disk / f"{office.org}.draft")
        office("member", "add", _card(office), "--out", manifests[-1])
        signed(manifests[-1], office)
        hand(manifests[-1], ada)
    drafts = [ada.machine.disk / draft.name for draft in (roster, *manifests)]
    assert json.loads(ada.keeps("begin", *drafts, "--json")) == {"appended": 4}
    (net,) = nets
    for office in offices:
        _set(office.relay, None if office is ada else net, [each for each in offices if each is not office])
        office.serve()
    for office in offices:
        office(
            "sync", *(word for each in offices for word in ("--relay", office.machine.disk / each.card.name)), "--yes"
        )
    # 4. A pledge that all sign, and a circle that asks for it.
    promise = ada.machine.disk / "promise.txt"
    promise.write_text(PROMISE)
    ada("pledge", "propose", "no-frontier", "--text", promise)
    for office in offices:
        office("sync")
        office("pledge", "sign", "no-frontier", "--yes")
        office("sync")
    ada("sync")
    draft = ada.machine.disk / "circle.draft"
    orgs = [word for office in offices for word in ("--org", office.org)]
    admins = ["--admin", "Aurora/ada", "--admin", "Beacon/bo"]
    words = ["--level", "V2", "--tag", "use:safety-only", "--pledge", "no-frontier"]
    ada("circle", "found", circle, *words, *orgs, *admins, "--out", draft)
    bo("sync")
    bo("draft", "publish", signed(draft, ada, bo))
    bo("sync")
    ada("sync")
    ada("circle", "rotate", circle)
    for office in offices:
        office("sync")


def signed(draft: Path, *signers: Office) -> Path:
    """The draft where the last one signed it, carried from machine to machine."""
    for signer in signers:
        hand(draft, signer)
        draft = signer.machine.disk / draft.name
        signer("draft", "sign", draft, "--yes")
    return draft


def _card(office: Office) -> Path:
    return office.machine.disk / f"{office.person}.card"


def _set(folder: Path, net: str | None, peers: list[Office]) -> None:
    """What a keeper writes into the settings: a mirror's network, and whom it asks how often."""
    path = folder / "relay.toml"
    tables = []
    for peer in peers:
        (folder / peer.card.name).write_bytes(peer.card.read_bytes())
        tables.append(_MIRROR.format(name=peer.org.lower(), card=peer.card.name))
    named = f'net = "{net}"\n' if net else ""
    path.write_text(f"{named}pull_s = 1\n{path.read_text()}{''.join(tables)}")
