"""Tuned lenses beside tuned-lens: how near each comes to what the model says, and how fast it is fitted."""

from collections.abc import Iterator

from methods import lensed, peers
from methods.driver import Results
from methods.judging import Line, answered, faster, judged, lost

WORSE, SPEED = 1.01, 1.0
PAIR = (peers.OURS, peers.TUNED_LENS)


def lines(results: Results) -> Iterator[Line]:
    for recipe in lensed.RECIPES:
        name = f"tuned_lens · beside tuned-lens, {recipe}"
        ours, theirs = (answered(results, "lens", each, peer) for each, peer in (("adam", PAIR[0]), (recipe, PAIR[1])))
        held = answered(results, "lens_kl", "all", PAIR[0])
        if not ours or not theirs or not held:
            case, setting, asked = ("lens", recipe, PAIR[1]) if ours else ("lens", "adam", PAIR[0])
            yield lost(results, name, case, setting, asked)
            continue
        yield from _layers(results, name, held[0].detail, recipe)
        yield faster(f"{name} · fitted faster", ours[0], theirs[0], SPEED, results, PAIR[1])


def _layers(results: Results, name: str, found: dict[str, list[float]], recipe: str) -> Iterator[Line]:
    ours, theirs, plain = (found[each] for each in ("darklantern adam", f"tuned-lens {recipe}", "logit lens"))
    for layer, (own, other, none) in enumerate(zip(ours, theirs, plain, strict=True)):
        bar = f"no worse: ≤ 1.01 × {other:.4f}"
        yield judged(f"{name} · layers.{layer}:in, held-out KL", own, "nats", bar, own <= WORSE * other, results,
                     PAIR[1], {"theirs": other, "logit_lens": none, "seed": lensed.SEED})  # fmt: skip
