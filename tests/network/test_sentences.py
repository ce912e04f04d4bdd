"""Every kind of record has its sentence, and none tells what is sealed."""

import pytest
from fuzz import seeds

from darklantern.network.circles import Removal
from darklantern.network.clock import text
from darklantern.network.deleting import Receipt, Tombstone
from darklantern.network.handovers import Handover
from darklantern.network.pledges import Breach, Commitment
from darklantern.network.reading import BODIES, read
from darklantern.network.sentences import dropped_words, sentence
from darklantern.network.vouching import Notice, Vouch
from network.world import NOW, circled, device

ID = "5" * 64
OTHERS = (
    Breach(org="Aurora", person="al", pledge="no-frontier", time=text(NOW), reason="trained on it"),
    Breach(org="Aurora", person="al", pledge="no-frontier", time=text(NOW), reason="an error", withdraws=ID),
    Commitment(name="no-frontier", version=1, basis="honour", text="I will not."),
    Removal(circle=ID, org="Aurora", person="al", device=ID, reason="left"),
    Notice(circle=ID, device=ID),
    Vouch(device=ID),
    Handover(device=ID, sealed=b""),
    Tombstone(target=ID),
    Receipt(targets=(ID,)),
)


def test_every_kind_has_its_sentence() -> None:
    kinds = {type(body): sentence(body) for body in (*OTHERS, *(read(data).body for data in seeds.entries()))}
    assert set(kinds) == set(BODIES.values())
    assert all(said and "\n" not in said for said in kinds.values())


def test_who_is_meant_is_named() -> None:
    world, circle = circled()
    assert sentence(read(world.logs[circle][0]).body) == "epoch 1 for 4 devices; dropped: none"
    body = Removal(circle=circle, org="Aurora", person="al", reason="left")
    assert sentence(body) == f"removes al of Aurora from circle {circle[:8]}…"
    assert sentence(Tombstone(target="5" * 64)) == "asks that 55555555… be dropped"


@pytest.mark.parametrize("who", ["bo", "al"])
def test_what_was_dropped_names_ones_own_records(who: str) -> None:
    world, circle = circled()
    data, _ = world.post(circle, "bo")
    said = dropped_words(circle, [data, b"{}"], device(who).public.id)
    assert "2 entries" in said and (read(data).id[:16] in said) == (who == "bo")
