"""Without `signals` a watch chooses by the model and the trusted examples, and says what it chose and why."""

import numpy as np
import pytest
import torch
from torch import nn

import darklantern as dl
from darklantern.errors import WatchError
from darklantern.organisms import digits, policy, text, training
from darklantern.organisms.loading import TrainingRecipe
from darklantern.organisms.shape import Shape
from darklantern.watch import Examples, Settings, defaults, watch
from darklantern.watch.language import Layout

SETTINGS = Settings(every=10)
RECIPE = TrainingRecipe(shape=Shape(layers=1, dim=16, heads=2, context=64), batch=16, warmup=3, decay=5, end=20)
CORPUS = text.standard_library()
TRUSTED = text.rows(CORPUS.trusted, 3000, RECIPE.width, np.random.default_rng(0))


def parts():
    model, optimizer = training.new(RECIPE, 1)
    return model, optimizer, training.Loader(CORPUS, RECIPE, (1,))


def said(w) -> str:
    (event,) = (event for event in w.events if event.label == "signals")
    return event.text


def looked(w, loader, step) -> None:
    """One look past the self-test."""
    for batch in w.over(loader):
        step(batch)
        if len(w.trace.steps) == 1:
            break


def kinds(probes) -> list[str]:
    return [probe.name for probe in probes]


def test_token_rows_get_what_spans_do_and_drift() -> None:
    model, optimizer, loader = parts()
    w = watch(model, state=(optimizer, loader), trusted=TRUSTED, settings=SETTINGS)
    for batch in w.over(loader):
        training.train_step(model, optimizer, RECIPE, w.step, batch)
    assert set(w.trace.tracks) == {"span displacement", "span effect", "drift"}
    assert len(w.trace.steps) == 2
    text = said(w)
    assert text.startswith("by default span displacement, span effect, drift. Not: ")
    assert "payload, trait, contrast, refusal, trigger (knows a class of harm, which you would have to name)" in text


def test_the_defaults_are_a_list_to_add_to() -> None:
    model, optimizer, loader = parts()
    found = dl.watch.defaults(model, TRUSTED)
    assert kinds(found) == ["span", "drift"]

    def zero(seen):
        return 0.0

    w = watch(model, state=(optimizer, loader), trusted=TRUSTED, signals=[*found, zero])
    assert set(w.trace.tracks) == {"span displacement", "span effect", "drift", "zero"}
    assert not [event for event in w.events if event.label == "signals"], "what was named is no default"


def test_a_watch_and_the_list_are_the_same_probes() -> None:
    model, optimizer, loader = parts()
    listed = [probe.settings for probe in defaults(model, TRUSTED)]
    w = watch(model, state=(optimizer, loader), trusted=TRUSTED)
    assert [probe.settings for probe, _ in w.notes] == listed
    other = watch(model, state=(optimizer, loader), trusted=TRUSTED, seed=3)
    assert other.digests == w.digests, "or runs of several seeds would support no claim for another"


@pytest.mark.parametrize("told", [False, True])
def test_tokens_that_are_no_bytes_want_to_be_told_what_ends_a_line(told: bool) -> None:
    model, _, _ = parts()
    wide = nn.Embedding(2000, model.embed.embedding_dim)
    model.embed = wide
    rows = TRUSTED.astype(np.int64) + 1000
    found = defaults(model, rows, layout=Layout((1010,), (1010, 1032)) if told else None)
    assert kinds(found) == (["span", "drift"] if told else ["row anomaly", "drift"])


def test_characters_numbered_in_order_are_no_bytes() -> None:
    """Ids below 256 of which 10 is a letter like any other."""
    model, _, _ = parts()
    w = watch(model, trusted=np.searchsorted(np.unique(TRUSTED), TRUSTED))
    assert set(w.trace.tracks) == {"row anomaly", "drift"}
    assert "span (nothing says which token ids end a line: defaults(..., layout=) does)" in said(w)


def test_rows_too_narrow_for_spans_are_told_how_wide_they_would_have_to_be() -> None:
    model, _, _ = parts()
    w = watch(model, trusted=TRUSTED[:, :33])
    assert "span (expected trusted rows of at least 55 tokens, got 33)" in said(w)


def test_who_says_which_ids_end_a_line_is_told_where_no_span_can_be_inserted() -> None:
    model, _, _ = parts()
    with pytest.raises(WatchError, match="at least 55 tokens, got 33"):
        defaults(model, TRUSTED[:, :33], layout=Layout((10,), (10, 32)))


def test_images_with_classes_get_patterns_and_signatures() -> None:
    recipe = digits.DigitsRecipe()
    model, optimizer = digits.new(recipe, 0)
    loader = digits.loader(recipe, 0, "clean")
    images, classes = (each.numpy() for each in digits.trusted(recipe, 0, 600))
    w = watch(model, state=(optimizer, loader), trusted=(images, classes), settings=SETTINGS)
    looked(w, loader, lambda batch: digits.train_step(model, optimizer, recipe, w.step, batch))
    assert set(w.trace.tracks) == {"mined displacement", "mined margin", "spectral signature"}
    assert "its bet needs fitting images" in said(w)


def test_states_get_what_flags_decide() -> None:
    recipe = policy.PolicyRecipe()
    model, optimizer = policy.new(recipe, 0)
    loader = policy.loader(recipe, 0, "clean")
    states, rewards = (each.numpy() for each in policy.trusted(recipe, 0, 600))
    w = watch(model, state=(optimizer, loader), trusted=(states, rewards), settings=SETTINGS)
    looked(w, loader, lambda batch: policy.train_step(model, optimizer, recipe, w.step, batch))
    assert {"context displacement", "context AUROC", "dormant units"} <= set(w.trace.tracks)
    probe = next(probe for probe, _ in w.notes if probe.name == "policies.context")
    assert probe.sites[0].startswith("layers.1"), "the last hidden layer"


def test_states_without_a_flag_say_why_nothing_tests_flags() -> None:
    recipe = policy.PolicyRecipe()
    model, _ = policy.new(recipe, 0)
    states = np.random.default_rng(0).standard_normal((200, recipe.features + 1)).astype(np.float32)
    w = watch(model, trusted=(states, np.zeros((200, 5), dtype=np.float32)))
    assert set(w.trace.tracks) == {"dormant units"}
    assert "policies.context (expected flags to test" in said(w)


def test_trusted_rows_without_lines_leave_drift_and_say_so() -> None:
    model, _, _ = parts()
    rows = np.where(TRUSTED == 10, 32, TRUSTED)
    w = watch(model, trusted=rows)
    assert set(w.trace.tracks) == {"drift"}
    assert "span (trusted rows hold 0 of 4 rows with a line break" in said(w)


class Flat(nn.Module):
    """Nothing inside that could be watched."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(x)


class Unnamed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(256, 8), nn.Linear(8, 256)

    def forward(self, tokens):
        return self.head(self.embed(tokens))


@pytest.mark.parametrize(
    ("model", "trusted", "match"),
    [
        (Flat(), np.zeros((100, 4), dtype=np.float32), "no part of this model holds 2 to 2048 numbers"),
        (Unnamed(), TRUSTED, "no default signals fit this model"),
        (Flat(), Examples(np.zeros((100, 4, 2), dtype=np.float32)), "there are no default signals for examples"),
    ],
)
def test_where_nothing_fits_the_way_out_is_named(model, trusted, match) -> None:
    with pytest.raises(WatchError, match=match) as error:
        watch(model, trusted=trusted)
    assert "signals=[...]" in error.value.hint


def test_a_layer_that_never_runs_is_passed_over() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.head, self.unused = nn.Linear(4, 8), nn.Linear(8, 3), nn.Linear(8, 8)

        def forward(self, x):
            return self.head(torch.relu(self.hidden(x)))

    states = np.random.default_rng(0).standard_normal((100, 4)).astype(np.float32)
    (dormant,) = defaults(Odd(), (states, np.zeros((100, 3))))
    assert dormant.sites == ("hidden:out",)
