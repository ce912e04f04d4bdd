"""docs/spec/network.md names every field of every body, in its order."""

from pathlib import Path

import pytest

from darklantern.network import epochs, handovers, invitations, items
from darklantern.network.cards import Card, Holder
from darklantern.network.circles import Terms
from darklantern.network.drafts import Draft
from darklantern.network.reading import BODIES
from darklantern.records.record import Record
from darklantern.sealing import SUITES
from darklantern.stores.passphrase import VaultHeader

SPEC = Path(__file__).parent.parent.parent / "docs/spec"
PAGE = (SPEC / "network.md").read_text()


@pytest.mark.parametrize(
    "kind",
    [
        *{body: None for body in BODIES.values()},
        Terms,
        epochs.EpochSecret,
        epochs.LinkSecret,
        handovers.HandedOver,
        items.Sealed,
        Card,
        Draft,
        invitations.Invitation,
        invitations.Request,
        invitations.Welcome,
    ],
    ids=lambda kind: kind.__name__,
)
def test_the_fields_of_a_body_stand_on_the_page(kind: type) -> None:
    assert f"`{' '.join(kind.__struct_fields__)}`" in PAGE


def test_inner_values_too() -> None:
    for kind in (Holder, epochs.MemberSet, handovers.EpochSeed, epochs.Cutoff, epochs.Last, VaultHeader):
        assert f"{{{' '.join(kind.__struct_fields__)}}}" in PAGE, kind


def test_each_kind_has_its_place_and_its_signatures() -> None:
    sharing, sealing = ((SPEC / name).read_text() for name in ("sharing.md", "sealing.md"))
    assert f"`{' '.join(Record.__struct_fields__)}`" in sharing
    table = sealing.partition("| kinds |")[2]
    for kind, suite in SUITES.items():
        row = next(line for line in table.split("\n") if kind in line.split("|")[1].replace(",", " ").split())
        assert row.split("|")[2:4] == [
            f" {', '.join(suite.algorithms)} ",
            " one or more " if suite.several else " one ",
        ]
