"""A signal of one's own is a function."""

import numpy as np
import pytest
import torch
from watch.loops import RECIPE, TRUSTED, parts

import darklantern as dl
from darklantern.errors import WatchError
from darklantern.organisms import training
from darklantern.watch import Settings, signal, watch


@dl.signal(sites=["layers.0:out"], unit="norm")
def loudness(seen):
    """Mean norm of the residual stream.

    More about it.
    """
    return np.linalg.norm(seen["layers.0:out"], axis=-1).mean()


def sureness(seen):
    return np.exp(seen.log_probs).max(-1).mean(), 1 / seen.output.shape[-1]


def watched(*signals):
    model, optimizer, loader = parts(end=20)
    w = watch(model, state=(optimizer, loader), trusted=TRUSTED, signals=signals, settings=Settings(every=5))
    for batch in w.over(loader):
        training.train_step(model, optimizer, RECIPE, w.step, batch)
    return w, model


def test_a_function_is_a_signal_with_or_without_rows_and_sites_of_its_own() -> None:
    w, model = watched(loudness, sureness)
    loud, sure = w.trace.tracks["loudness"], w.trace.tracks["sureness"]
    assert (loud.signal.reads, loud.signal.unit, loud.signal.says) == (
        "Mean norm of the residual stream.",
        "norm",
        "novelty",
    )
    recorded = dl.open(model).record(np_rows(), "layers.0:out")["layers.0:out"].array.detach()
    assert loud.readings[-1].value == pytest.approx(float(recorded.norm(dim=-1).mean()), rel=1e-5)
    assert len(sure.readings) == 4
    assert sure.readings[-1].placebo == pytest.approx(1 / 128)
    assert sure.readings[-1].value > 1 / 128


def np_rows():
    return torch.from_numpy(TRUSTED[:16, :-1].astype(np.int64))


def test_the_function_can_still_be_called() -> None:
    class Held:
        def __getitem__(self, site):
            return np.ones((2, 3, 4))

    assert loudness(Held()) == 2.0


def test_a_calibration_holds_for_the_code_as_it_is() -> None:
    def one(seen):
        return seen.output.mean() * 2

    def other(seen):
        return seen.output.mean() * 3

    assert signal(one).settings != signal(other).settings
    assert signal(one).settings == signal(one).settings
    assert signal(one, rows=TRUSTED[:2]).settings != signal(one, rows=TRUSTED[:3]).settings


def test_what_gives_no_number_is_named_before_the_first_step() -> None:
    def wrong(seen):
        return "high"

    with pytest.raises(WatchError, match="signal 'wrong' gave 'high', expected a number"):
        watched(wrong)


@pytest.mark.parametrize("given", [lambda seen: 0.0, dl.SpanProbe, 3], ids=["lambda", "class", "number"])
def test_what_is_no_signal_is_refused(given) -> None:
    with pytest.raises(WatchError, match=r"expected (a function with a name|probes or functions as signals)"):
        watched(given)
