"""Trusted examples, each given out once, and to all probes of a look alike."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from darklantern.watch.examples import Examples, Pool


def pool(count: int = 20) -> Pool:
    return Pool(Examples(np.arange(count)[:, None]), seed=3)


def test_every_example_is_given_out_once() -> None:
    source = pool()
    drawn = np.concatenate([source.draw(7).inputs[:, 0] for _ in range(4)])
    assert sorted(drawn) == list(range(20))
    assert source.left == 0


@given(st.lists(st.lists(st.lists(st.integers(0, 6), max_size=3), min_size=1, max_size=4), max_size=5))
def test_a_look_takes_what_its_greediest_probe_asks_for_and_gives_it_to_all(looks: list[list[list[int]]]) -> None:
    source, order = pool(), pool().draw(20).inputs[:, 0]
    begun = 0
    for look in looks:
        taken: list[int] = []
        for asks in look:
            mine, own = source.turn(taken), 0
            for ask in asks:
                assert mine.left == 20 - begun - own
                expected = order[begun + own : begun + own + ask]
                assert (mine.draw(ask).inputs[:, 0] == expected).all()
                own += len(expected)
        begun = min(20, begun + max(sum(asks) for asks in look))
        assert source.drawn == begun
