"""Names show as what they are, and no two in one list are taken for each other."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darklantern.errors import RefusedError
from darklantern.network import cosign
from darklantern.network.authoring import drafted
from darklantern.network.cards import Holder, check_holder
from darklantern.network.clock import text
from darklantern.network.naming import check_apart, check_name
from darklantern.network.rosters import Org, OrgRoot
from darklantern.records.exact import encode
from network.world import NOW, founded, key, person

UNSEEN = [
    "Aurora ",
    " Aurora",
    "Au\u200brora",
    "Aurora\u202e",
    "Aurora\n",
    "Au\u00adrora",
    "Au\u00a0rora",
    "\ufeffAurora",
]
ALIKE = ["aurora", "AURORA", "\uff21urora", "Auror\u00aa"]


@pytest.mark.parametrize("name", UNSEEN, ids=ascii)
def test_a_name_that_shows_as_something_else_is_refused(name: str) -> None:
    with pytest.raises(RefusedError, match="shows as what it is"):
        check_name(name)


@pytest.mark.parametrize("name", ALIKE, ids=ascii)
def test_two_names_that_differ_in_case_or_form_alone_are_refused(name: str) -> None:
    check_name(name)
    with pytest.raises(RefusedError, match="takes for each other"):
        check_apart(["Aurora", "Beacon", name])


@pytest.mark.parametrize("name", ["Élodie", "Zoë van der Berg", "明星", "Ἀθηνᾶ", "קרן", "नमस्ते"])
def test_names_of_all_scripts_are_names(name: str) -> None:
    check_apart([name, "Aurora"])


@given(st.lists(st.text(min_size=1, max_size=20)))
def test_whether_names_are_apart_has_nothing_to_do_with_their_order(names: list[str]) -> None:
    def judged(some: list[str]) -> bool:
        try:
            check_apart(some)
        except RefusedError:
            return False
        return True

    assert judged(names) == judged(names[::-1])


def test_a_roster_and_a_manifest_are_held_to_it() -> None:
    world = founded()
    last = world.view.network.rosters[-1]
    roots = tuple(OrgRoot(person=each, key=key(f"another {each}").public) for each in ("first", "second"))
    other = Org(name="aurora", roots=roots, threshold=2, admitted=text(NOW), reason="another Aurora")
    alike = (*last.body.orgs, other)
    body = msgspec.structs.replace(last.body, version=last.body.version + 1, previous=last.id, orgs=alike)
    signed = cosign(drafted(world.net, "roster", body, NOW), [key("network Aurora"), key("network Cairn")])
    assert "takes for each other" in world.put(encode(signed))
    with pytest.raises(RefusedError, match="takes for each other"):
        world.manifest("Aurora", person("ada"), msgspec.structs.replace(person("al"), id="ADA"))


@pytest.mark.parametrize(
    ("who", "said"),
    [
        (Holder(org="Aurora/Lab", person="ada", name="Ada"), "without a slash"),
        (Holder(org="Aurora", person="Aurora/ada", name="Ada"), "without a slash"),
        (Holder(org="Aurora", person="ada vey", name="Ada"), "without white space"),
        (Holder(org="Aurora", person="ada\tvey", name="Ada"), "shows as what it is"),
    ],
    ids=["a slash in the org", "a slash in the id", "a space in the id", "a tab in the id"],
)
def test_nobody_holds_a_device_who_could_not_be_named_as_org_and_person(who: Holder, said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        check_holder(who)
    check_holder(Holder(org="Aurora Lab", person="ada", name="Ada Vey / she"))
