"""What the indexes of an open library must hold: found from nothing, by going through all that counts."""

from darklantern.library import Library, searching
from darklantern.library.news import counting


def check_indexes(library: Library) -> None:
    """Every post that counts is placed or known as unplaced, every text that opens is indexed, and nothing else is."""
    desk = library._desk
    state = desk.held
    threads, posts = state.threads, {each.entry.id for each in counting(state) if each.entry.record.kind == "post"}
    unplaced = {id for id in threads.unplaced if id in posts}
    assert set(threads.places) | unplaced == posts and not set(threads.places) & unplaced
    assert {id for ids in threads.index.threads.values() for id in ids} == set(threads.places)
    acts = {id for id, place in threads.places.items() if place.act_on}
    assert {id for ids in threads.index.acts.values() for id in ids} == acts
    assert all(place.arrival < threads.index.arrivals for place in threads.places.values())
    texts = {document.id for document in searching.documents(state, desk.fetch, desk.follows)}
    assert desk.vault.database.indexed() == texts
