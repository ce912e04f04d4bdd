"""Sites, selections and values: what one means by a name, each position that an example's own tokens count."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from subjects import gpt2, llama, tokens
from torch import Tensor, nn
from transformers import T5Config, T5ForConditionalGeneration

import darklantern as dl
from darklantern import models
from darklantern.errors import SiteError
from darklantern.models import Recording, Site, Value, parse
from darklantern.models.on_torch.opened import Model
from darklantern.models.paths import is_glob, quoted, select_paths, unquoted
from darklantern.models.selecting import select
from darklantern.models.sites import Each, Pin, Several, Span
from darklantern.models.tokens import Batch

AXES = ("batch", "pos", "dim")
OUT = "layers.1:out"
PATTERN = "layers.1.attn:pattern"


class Letters:
    """One token a letter."""

    def __call__(self, text: str) -> dict[str, list[int]]:
        return {"input_ids": [ord(letter) - ord("a") + 1 for letter in text]}

    def decode(self, ids: list[int]) -> str:
        return "".join(chr(each + ord("a") - 1) for each in ids)


def opened() -> Model:
    return models.open(gpt2(), Letters())


def identity() -> Model:
    return models.open(nn.Sequential(nn.Identity()))


def value(axes: tuple[str, ...], *shape: int, site: str = "a:out") -> Value:
    array = torch.arange(float(np.prod(shape))).view(shape) + 1
    return Value(parse(site), array, axes)


@pytest.fixture(autouse=True)
def without_gradients() -> Any:
    with torch.no_grad():
        yield


# sites as text

numbers = st.integers(-9, 9)
several = st.lists(numbers, min_size=1, max_size=3)
pins = st.one_of(
    numbers,
    st.builds(Span, st.none() | numbers, st.none() | numbers),
    several.map(Several),
    several.map(Each),
    st.just("*"),
)
names = st.text(st.characters(exclude_characters=".", exclude_categories=["Cs"]), min_size=1, max_size=6)
sites = st.builds(
    lambda slash, parts, port, call, select: Site(
        slash + quoted(".".join(parts)), port, tuple(select.items()), call if port != "*" else None
    ),
    st.sampled_from(["", "/"]),
    st.lists(names, min_size=1, max_size=3),
    st.sampled_from(["z", "q", "result"]),
    st.none() | st.just("*") | st.integers(0, 12),
    st.dictionaries(st.sampled_from(["batch", "pos", "head", "dim"]), pins),
)


@given(sites)
def test_every_site_is_what_its_text_says(site: Site) -> None:
    assert parse(str(site)) == site
    assert repr(site) == str(site)


@given(st.lists(names, min_size=1, max_size=3).map(".".join))
def test_any_name_of_a_module_has_a_text_that_means_it_alone(path: str) -> None:
    others = [path + "a", "a" + path, "a", path.replace(path[0], "b")]
    assert unquoted(quoted(path)) == path
    assert not is_glob(quoted(path))
    assert set(select_paths(quoted(path), [path, *others])) == {path}


@given(a=pins, b=pins)
def test_pins_are_the_same_only_if_they_say_the_same(a: Pin, b: Pin) -> None:
    one, other = Site("a", "z", (("pos", a),)), Site("a", "z", (("pos", b),))
    assert (one == other) == (str(one) == str(other))
    assert len({one, other}) == 2 - (one == other)


def test_the_order_of_pins_makes_no_other_site() -> None:
    assert parse("a:z[pos=-1,head=1]") == parse("a:z[head=1,pos=-1]") == parse("a:z[pos=-1]").at(head=1)
    found = opened().record(tokens(), "layers.1.attn:z[pos=-1,head=1]", "layers.1.attn:z[head=1,pos=-1]")
    assert list(found) == ["layers.1.attn:z[head=1,pos=-1]"]
    assert found["layers.1.attn:z[pos=-1,head=1]"].shape == (2, 8)


def test_pins_are_said_in_python_as_in_text() -> None:
    site = parse("a:z")
    assert site.at(head=2, pos=slice(1, None)) == parse("a:z[head=2,pos=1:]")
    assert site.at(head=[1, 4], pos=(3, 1)) == parse("a:z[head={1,4},pos=(3,1)]")
    assert site.at(head={4, 1}, pos=np.int64(2)) == parse("a:z[head={1,4},pos=2]")
    for odd in (True, 1.5, [], (), None, slice(0, 4, 2), "two"):
        with pytest.raises(SiteError, match="expected what to take of axis pos") as refused:
            site.at(pos=odd)
        assert refused.value.hint


def test_odd_names_of_modules_can_be_recorded_and_asked_for() -> None:
    odd = ["a b", "x+y", "it's", "a*", "{a,b}", "a:b#1[c=2]"]
    module = nn.Sequential()
    for name in odd:
        module.add_module(name, nn.Linear(2, 2))
    model = models.open(module)
    found = model.record(torch.ones(1, 2), "**:out")
    assert [each.site for each in found.values()] == list(found.sites)
    assert {unquoted(site.path) for site in found.sites} == {"", *odd}
    assert torch.equal(found[":out"].array, found.output)
    for site in found.sites:
        assert [str(each) for each in model.sites(str(site))] == [str(site)]
        assert torch.equal(model.record(torch.ones(1, 2), str(site))[site].array, found[site].array)
    assert {row[0] for row in found.rows()} == {str(site) for site in found.sites}


def test_two_stars_name_the_model_itself_too() -> None:
    assert parse(":out") in models.open(nn.Linear(2, 2)).sites("**:out")


def test_a_recording_can_be_asked_by_the_name_that_was_given(tmp_path: Path) -> None:
    found = opened().record(tokens(), "/transformer.h.1:out", "layers.2.attn:z[head=1]")
    assert next(iter(found)) == OUT
    found.save(tmp_path / "run")
    for recording in (found, models.load_recording(tmp_path / "run")):
        for name in (OUT, "/transformer.h.1:out", "transformer.h.1:out"):
            assert name in recording
            assert torch.equal(recording[name].array, found[OUT].array)
        assert torch.equal(recording["/transformer.h.1:out[pos=2]"].array, found[OUT].array[:, 2])
        part = recording["/transformer.h.2.attn:z[pos=-1,head=1]"]
        assert torch.equal(part.array, found["layers.2.attn:z[head=1]"].array[:, -1])
        assert "transformer.h.2:out" not in recording
    assert opened().run(tokens(), {"/transformer.h.1:out": dl.take(found)}) is not None


# selections

AXIS_SIZES = {"batch": 3, "head": 4, "pos": 5}


@given(st.dictionaries(st.sampled_from(list(AXIS_SIZES)), pins.filter(lambda pin: not isinstance(pin, Each))))
def test_a_selection_is_what_plain_indexing_says_or_an_error(chosen: dict[str, Pin]) -> None:
    array = np.arange(60).reshape(3, 4, 5)
    expected: Any = array
    try:
        for axis, name in reversed(list(enumerate(AXIS_SIZES))):
            pin = chosen.get(name, "*")
            index = slice(*pin) if isinstance(pin, Span) else list(pin) if isinstance(pin, Several) else pin
            expected = expected[(slice(None),) * axis + (slice(None) if index == "*" else index,)]
    except IndexError:
        expected = None
    site = Site("a", "z", tuple(chosen.items()))
    if expected is None or not expected.size:
        with pytest.raises(SiteError):
            select(site, tuple(AXIS_SIZES), array.shape, some=True)
        return
    assert np.array_equal(select(site, tuple(AXIS_SIZES), array.shape, some=True).part(array), expected)


@given(st.data())
def test_a_part_of_a_part_has_the_name_of_the_same_part_of_the_whole(data: st.DataObject) -> None:
    whole = Value(parse("a:q"), torch.arange(3 * 4 * 5).view(3, 4, 5), ("batch", "head", "pos"))
    found = whole
    for _ in range(2):
        axis = data.draw(st.sampled_from(found.axes)) if found.axes else "batch"
        pin = data.draw(pins.filter(lambda pin: not isinstance(pin, Each)))
        try:
            found = found.at(**{axis: pin})
        except SiteError:
            return
    again = parse(str(found.site))
    assert again == found.site
    assert torch.equal(select(again, whole.axes, whole.shape, some=True).part(whole.array), found.array)


@given(st.data())
def test_a_part_of_a_part_of_a_padded_batch_has_the_name_under_which_it_is_found(data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(2, 5), min_size=1, max_size=4))
    array = torch.arange(len(lengths) * max(lengths) * 3).view(len(lengths), max(lengths), 3)
    tokens = [["t"] * length for length in lengths]
    recording = Recording([(Site("layers.0", "out"), array, AXES)], None, tokens)
    found = recording["layers.0:out"]
    for _ in range(3):
        axis = data.draw(st.sampled_from(found.axes)) if found.axes else "batch"
        try:
            found = found.at(**{axis: data.draw(pins)})
        except SiteError:
            return
        again = recording[found.site]
        assert again.axes == found.axes
        assert torch.equal(again.array, found.array)


def test_a_slice_that_ends_at_the_shortest_example_ends_there_in_a_part_without_it() -> None:
    array, tokens = torch.arange(24).view(2, 4, 3), [["a", "b"], ["a", "b", "c", "d"]]
    recording = Recording([(Site("layers.0", "out"), array, AXES)], None, tokens)
    part = recording["layers.0:out"].at(pos=slice(0, 3)).at(batch=[1])
    assert str(part.site) == "layers.0:out[batch={1},pos=0:2]"
    assert torch.equal(recording[part.site].array, part.array)


@pytest.mark.parametrize(
    "site",
    [
        f"{OUT}[pos=100:200]",
        f"{OUT}[pos=5:3]",
        f"{PATTERN}[pos=4:4]",
        "layers.1.attn:{z,result}[head=9:]",
        f"{OUT}[pos=7:]",
    ],
)
def test_what_selects_nothing_is_refused(site: str) -> None:
    model = opened()
    for call in (
        lambda: model.run(tokens(), {site: dl.zero()}),
        lambda: model.record(tokens(), site),
        lambda: model.gradient(tokens(), lambda output: output.logits.sum(), site),
    ):
        with pytest.raises(SiteError, match=r"selects nothing: axis (pos has 7|head has 4)"):
            call()
    whole = model.record(tokens(), OUT)
    with pytest.raises(SiteError, match="selects nothing"):
        whole[f"{OUT}[pos=100:200]"]


def test_generation_goes_on_where_a_step_has_none_of_the_positions() -> None:
    model = models.open(llama())
    ids = tokens(pos=6)
    inputs, options = (
        {"input_ids": ids, "attention_mask": torch.ones_like(ids)},
        {"max_new_tokens": 3, "do_sample": False},
    )
    found = model.generate(inputs, OUT, edits={f"{OUT}[pos=:-1]": dl.zero()}, pad_token_id=0, **options)
    assert [bool(each) for each in (found[OUT].array == 0).all(-1)[0]] == [*[True] * 5, *[False] * 3]


# positions that count an example's own tokens


def ragged() -> tuple[Model, Batch, list[Recording]]:
    model, prompts = opened(), ["abcdefg", "xy", "mnopq"]
    return model, model.batch(prompts), [model.record(model.batch(each), OUT, PATTERN) for each in prompts]


def test_keys_of_self_attention_count_an_examples_own_tokens() -> None:
    model, batch, alone = ragged()
    site = f"{PATTERN}[pos=-1,key=-1]"
    expected = torch.cat([each[site].array for each in alone])
    found = model.record(batch, PATTERN, site, f"{PATTERN}[head=1,key=-1]")
    torch.testing.assert_close(found[site].array, expected)
    torch.testing.assert_close(found[PATTERN].at(pos=-1, key=-1).array, expected)
    torch.testing.assert_close(found[PATTERN].at(key=-1).at(pos=-1).array, expected)
    torch.testing.assert_close(found[f"{PATTERN}[head=1,key=-1,pos=-1]"].array, expected[:, 1])
    torch.testing.assert_close(model.record(batch, site)[site].array, expected)
    whole = model.record(batch, PATTERN, edits={f"{PATTERN}[head=1,pos=-1,key=-1]": dl.zero()})[PATTERN].array
    changed = (whole != found[PATTERN].array).nonzero().tolist()
    assert changed == [[0, 1, 6, 6], [1, 1, 1, 1], [2, 1, 4, 4]]
    for how in ("mean", "sum"):
        average = getattr(found[PATTERN].at(pos=-1), how)("key").array
        alike = torch.cat([getattr(each[PATTERN].at(pos=-1), how)("key").array for each in alone])
        torch.testing.assert_close(average, alike)


def test_one_example_of_a_batch_keeps_its_own_length() -> None:
    model, batch, alone = ragged()
    found = model.record(batch, OUT, f"{OUT}[batch=1]", f"{OUT}[batch={{1,2}}]")
    last = alone[1][OUT].array[0, -1]
    for part in (
        found[OUT].at(batch=1).at(pos=-1),
        found[f"{OUT}[batch=1]"].at(pos=-1),
        found[f"{OUT}[batch={{1,2}}]"].at(pos=-1).at(batch=0),
        found[f"{OUT}[batch={{1,2}}]"].at(batch=0, pos=-1),
    ):
        torch.testing.assert_close(part.array, last)
    torch.testing.assert_close(found[OUT].at(batch=1).mean("pos").array, alone[1][OUT].array[0].mean(0))
    assert found[OUT].at(batch=1).lengths == [2]


@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4), data=st.data())
def test_a_selection_in_a_padded_batch_is_each_examples_own_or_an_error(
    lengths: list[int], data: st.DataObject
) -> None:
    count, width = len(lengths), max(lengths)
    pin = data.draw(pins | st.lists(numbers, min_size=count, max_size=count).map(Each))
    array = np.arange(count * width * 2).reshape(count, width, 2)
    own = [row[:length] for row, length in zip(array, lengths, strict=True)]
    site = Site("a", "out", (("pos", pin),))
    try:
        found = select(site, AXES, array.shape, lengths, some=True).part(array)
    except SiteError:
        # Refused for a reason: somebody lacks the position, or a slice or set would differ from example to example.
        ends = pin if isinstance(pin, Span | Several) else ()
        from_end = any(end is not None and end < 0 for end in ends) or (isinstance(pin, Span) and pin.stop is None)
        lacking = [at for at in (pin if isinstance(pin, Several) else [pin]) if isinstance(at, int)]
        assert (
            (from_end and len(set(lengths)) > 1)
            or any(not -length <= at < length for at in lacking for length in lengths)
            or (isinstance(pin, Span) and not len(range(min(lengths))[slice(*pin)]))
            or (isinstance(pin, Each) and len(pin) != count)
            or (isinstance(pin, Each) and any(not -n <= at < n for at, n in zip(pin, lengths, strict=True)))
        )
        return
    for number, row in enumerate(own):
        if pin == "*":
            assert np.array_equal(found[number, : len(row)], row)
        elif isinstance(pin, Span):
            assert np.array_equal(found[number], row[: min(lengths)][slice(*pin)])
        else:
            at = pin[number] if isinstance(pin, Each) else list(pin) if isinstance(pin, Several) else pin
            assert np.array_equal(found[number], row[at])


def t5() -> Model:
    config = T5Config(vocab_size=50, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, decoder_start_token_id=0)
    torch.manual_seed(0)
    return models.open(T5ForConditionalGeneration(config).eval())


def translated(encoded: tuple[int, int], decoded: int) -> Batch:
    width = max(encoded)
    mask = torch.tensor([[1] * length + [0] * (width - length) for length in encoded])
    given = {"input_ids": tokens(pos=width) % 50, "attention_mask": mask, "decoder_input_ids": tokens(pos=decoded) % 50}
    return Batch(given, tuple(("a",) * length for length in encoded))


@pytest.mark.parametrize("decoded", [6, 4])
def test_a_decoder_does_not_count_the_encoders_tokens(decoded: int) -> None:
    model, site = t5(), "decoder.layers.0:out"
    even = model.record(translated((4, 4), decoded), site, f"{site}[pos=-1]")
    assert torch.equal(even[f"{site}[pos=-1]"].array, even[site].array[:, -1])
    odd = translated((4, 3), decoded)
    for text in (
        f"{site}[pos=-1]",
        f"{site}[pos={{0,-1}}]",
        f"{site}[pos=1:]",
        "decoder.layers.0.attn:pattern[key=-1]",
    ):
        with pytest.raises(SiteError, match="which are not the tokens of the examples, from 3 to 4 each"):
            model.record(odd, text)
    found = model.record(odd, site, f"{site}[pos=2]", "encoder.layers.0:out", "decoder.layers.0.cross_attn:pattern")
    assert torch.equal(found[f"{site}[pos=2]"].array, found[site].array[:, 2])
    with pytest.raises(SiteError, match="which are not the tokens"):
        found[site].at(pos=-1)
    assert torch.equal(found[site].mean("pos").array, found[site].array.mean(1))
    encoded = found["encoder.layers.0:out"]
    assert torch.equal(encoded.at(pos=-1).array[1], encoded.array[1, 2])
    crossed = found["decoder.layers.0.cross_attn:pattern"]
    assert torch.equal(crossed.at(key=-1).array[1], crossed.array[1, ..., 2])


def test_a_value_of_another_batch_does_not_count_the_tokens() -> None:
    model, batch, _ = ragged()
    with pytest.raises(SiteError, match="which are not the tokens"):
        model.record(batch, "pos_embed:out[pos=-1]")  # the same for all examples
    assert model.record(batch, "pos_embed:out[pos=1]")["pos_embed:out[pos=1]"].shape[-1] == 32


def test_each_example_has_a_position_of_its_own() -> None:
    model = opened()
    batch = model.batch(["abcx", "xab", "axbcdef"])
    where = batch.find("x")
    assert where == (3, 0, 1)
    site = parse(OUT).at(pos=where)
    assert str(site) == f"{OUT}[pos=(3,0,1)]" == f"{OUT}[pos={batch.find('x')}]"
    found = model.record(batch, OUT, site, f"{PATTERN}[head=1,key=(3,0,1),pos=-1]", PATTERN)
    rows = torch.arange(3)
    expected = found[OUT].array[rows, torch.tensor(where)]
    for part in (found[site], found[OUT].at(pos=where), found[str(site)]):
        assert torch.equal(part.array, expected)
        assert part.axes == ("batch", "dim")
    keys = found[f"{PATTERN}[head=1,key=(3,0,1),pos=-1]"].array
    assert torch.equal(keys, found[PATTERN].array[rows, 1, torch.tensor([3, 2, 6]), torch.tensor(where)])
    changed = model.record(batch, OUT, edits={site: dl.zero()})[OUT].array
    assert (changed != found[OUT].array).any(-1).nonzero().tolist() == [[0, 3], [1, 0], [2, 1]]
    patched = model.record(batch, OUT, edits={OUT: dl.zero(), site: dl.take(found)})
    assert torch.equal(patched[site].array, expected)
    one = model.record(batch, OUT, edits={f"{PATTERN}[head=2,pos={where}]": dl.zero()})[OUT].array
    assert (one != found[OUT].array).any(-1).nonzero().tolist() == [[0, 3], [1, 0], [2, 1]]
    assert torch.equal(found[site].at(batch=2).array, expected[2])
    assert str(found[site].at(batch=2).site) == f"{OUT}[batch=2,pos=1]"
    assert str(found[site].at(batch=[0, 2]).site) == f"{OUT}[batch={{0,2}},pos=(3,1)]"
    assert torch.equal(found[f"{OUT}[batch={{0,2}},pos=(3,1)]"].array, expected[[0, 2]])


def test_some_examples_keep_the_positions_of_their_own() -> None:
    model, batch, alone = ragged()
    for site, numbers in (
        ("[batch=1:3,pos=-1]", (1, 2)),
        ("[batch=1:2,pos=-1]", (1,)),
        ("[batch={2,0},pos=-1]", (2, 0)),
    ):
        expected = torch.cat([alone[number][f"{OUT}[pos=-1]"].array for number in numbers])
        torch.testing.assert_close(model.record(batch, OUT + site)[OUT + site].array, expected)
        torch.testing.assert_close(model.record(batch, OUT)[OUT + site].array, expected)
        changed = model.record(batch, OUT, edits={OUT + site: dl.zero()})[OUT].array
        zeros = {(int(row), int(pos)) for row, pos in (changed == 0).all(-1).nonzero()}
        assert zeros == {(number, batch.lengths[number] - 1) for number in numbers}


def test_positions_of_other_examples_are_refused() -> None:
    model = opened()
    batch = model.batch(["abcx", "xab"])
    found = model.record(batch, OUT)
    for asked in ("pos=(1,2,3)", "batch=0,pos=(1,2)", "dim=(1,2)"):
        with pytest.raises(SiteError, match="one position for each of") as refused:
            found[f"{OUT}[{asked}]"]
        assert "find" in refused.value.hint
    with pytest.raises(SiteError, match="axis pos has 3"):
        model.record(batch, f"{OUT}[pos=(3,3)]")  # the second example has 3 tokens
    with pytest.raises(SiteError, match="one position for each of 2 examples"):
        model.run(tokens(batch=3), {f"{OUT}[pos=(0,1)]": dl.zero()})


def test_a_batch_with_more_arguments_still_knows_its_tokens() -> None:
    model, batch, alone = ragged()
    more = batch | {"labels": batch["input_ids"]}
    found = model.record(more, f"{OUT}[pos=-1]")
    torch.testing.assert_close(found[f"{OUT}[pos=-1]"].array[1], alone[1][OUT].array[0, -1])
    assert found.output.loss is not None
    assert "labels" not in batch


# edits


@pytest.mark.parametrize("name", ["input_ids", "attention_mask"])
def test_a_batch_does_not_keep_its_tokens_beside_other_ones(name: str) -> None:
    batch = opened().batch(["abc", "xy"])
    with pytest.raises(SiteError, match=f"other {name} would not be") as refused:
        batch | {name: batch[name] + 1}
    assert "model.batch" in refused.value.hint


def test_batches_and_recordings_are_themselves_alone() -> None:
    model = opened()
    batches = [model.batch(["abc"]) for _ in range(2)]
    recordings = [model.record(batch, OUT) for batch in batches]
    for one, other in (batches, recordings):
        assert one == one
        assert one != other
        assert len({one, other, one}) == 2


def test_means_and_resampling_do_not_take_padding_in() -> None:
    model, batch, _ = ragged()
    for change in (dl.mean(), dl.resample(seed=1)):
        for site in (OUT, PATTERN, "layers.1.attn:z[head=1]", f"{PATTERN}[pos=-1]"):
            with pytest.raises(SiteError, match="from 2 to 7 tokens, so one would get another's padding"):
                model.run(batch, {site: change})
        for site in (f"{OUT}[pos=-1]", f"{OUT}[pos=0:2]", f"{PATTERN}[key=0,pos=-1]"):
            filled = Batch(
                {**batch, "input_ids": batch["input_ids"] + 3 * (batch["attention_mask"] == 0)}, batch.tokens
            )
            both = [model.run(each, {site: change}).logits for each in (batch, filled)]
            for number, length in enumerate(batch.lengths):
                assert torch.equal(both[0][number, :length], both[1][number, :length])
    even = model.batch(["abc", "xyz"])
    assert torch.equal(model.record(even, OUT, edits={OUT: dl.mean()})[OUT].array.std(0), torch.zeros(3, 32))


@pytest.mark.parametrize("how", ["mean", "sum"])
def test_a_mean_over_prompts_of_several_lengths_takes_no_padding_in(how: str) -> None:
    model, batch, alone = ragged()
    found = model.record(batch, OUT, PATTERN)
    for value in (found[OUT], found[PATTERN], found[PATTERN].at(pos=-1)):
        with pytest.raises(SiteError, match=f"{how} of .* differ in length, from 2 to 7 tokens") as refused:
            getattr(value, how)("batch")
        assert "value.at(" in refused.value.hint
    last = torch.stack([each[OUT].array[0, -1] for each in alone])
    assert torch.allclose(getattr(found[OUT].at(pos=-1), how)("batch").array, getattr(last, how)(0), atol=1e-6)
    every = torch.cat([each[OUT].array[0] for each in alone])
    assert torch.allclose(getattr(found[OUT], how)("batch", "pos").array, getattr(every, how)(0), atol=1e-5)
    with pytest.raises(SiteError, match="differ in length"):
        model.run(batch, {OUT: dl.mean(found)})


def test_a_mean_that_was_recorded_as_one_is_taken_as_it_is() -> None:
    model, x = identity(), torch.randn(3, 4, 5)
    reduced = model.record(x, "0:out", reduce=lambda value: value.mean("batch"))
    assert torch.equal(model.run(x, {"0:out": dl.mean(reduced)}), x.mean(0).expand_as(x))


def test_a_direction_of_no_length_has_no_norm() -> None:
    direction = torch.ones(3)
    for zero in (0 * direction, torch.stack([direction, 0 * direction]), [0.0, 0.0]):
        with pytest.raises(SiteError, match="cannot be made 1 times as long"):
            dl.add(zero, norm=1.0)
    assert torch.equal(identity().run(torch.ones(1, 3), {"0:out": dl.add(0 * direction)}), torch.ones(1, 3))


@pytest.mark.parametrize("how", [dl.put, dl.add, dl.scale])
def test_a_value_goes_where_its_axes_have_their_names(how: Any) -> None:
    model, x = identity(), torch.randn(2, 3, 4)
    bare = {dl.put: lambda old, new: new, dl.add: torch.add, dl.scale: torch.mul}[how]
    turned = value(("dim", "batch", "pos"), 4, 2, 3)
    assert torch.equal(model.run(x, {"0:out": how(turned)}), bare(x, turned.array.permute(1, 2, 0)))
    positions = value(("pos",), 3)
    assert torch.equal(model.run(x, {"0:out": how(positions)}), bare(x, positions.array[None, :, None].expand(2, 3, 4)))
    alone = value(("batch", "pos", "dim"), 1, 3, 4)
    assert torch.equal(model.run(x, {"0:out": how(alone)}), bare(x, alone.array.expand(2, 3, 4)))
    with pytest.raises(SiteError, match="has axes pos dim, and what it should go into batch dim, without pos"):
        model.run(x, {"0:out[pos=1]": how(value(("pos", "dim"), 2, 4))})


def test_a_patch_goes_where_its_axes_have_their_names() -> None:
    model = opened()
    two = model.record(tokens(pos=2), OUT, "layers.1.attn:z")
    short = Recording([(parse(OUT), two[OUT].array[0], ("pos", "dim"))], None)
    with pytest.raises(SiteError, match="without pos"):
        model.run(tokens(), {f"{OUT}[pos=3]": dl.take(short, OUT)})
    with pytest.raises(SiteError, match=rf"take\({OUT}\) at {OUT}: expected a value that broadcasts") as refused:
        model.run(tokens(), {OUT: dl.take(two)})
    assert "one shape" in refused.value.hint
    with pytest.raises(SiteError, match="without head"):
        model.run(tokens(), {OUT: dl.take(two, "layers.1.attn:z")})


def test_whole_numbers_and_real_values_stay_what_they_are() -> None:
    model, x = opened(), tokens()
    half = torch.tensor(0.7)
    for change in (dl.add(half), dl.put(half), dl.scale(0.5), dl.mean(), dl.project(torch.ones(7)), lambda v: v * 0.5):
        with pytest.raises(SiteError, match="the value there is int64"):
            model.run(x, {"embed:in": change})
    for same in (dl.add(torch.tensor(1)), dl.add(1), lambda v: v + 1):
        assert torch.equal(model.record(x, "embed:in", edits={"embed:in": same})["embed:in"].array, x + 1)
    for change in (dl.add(torch.tensor(1j)), dl.scale(1j), lambda v: v * 1j):
        with pytest.raises(SiteError, match="float32, and what should replace it complex64"):
            identity().run(torch.ones(1, 2), {"0:out": change})
    waves = torch.ones(1, 2) * 1j
    assert torch.equal(identity().run(waves, {"0:out": dl.scale(2.0)}), 2 * waves)


# recordings and values


def test_a_part_of_a_recorded_part_is_there() -> None:
    model, x = opened(), tokens()
    found = model.record(x, "layers.1.attn:z[head=2]", f"{OUT}[pos={{1,4}}]")
    whole = model.record(x, "layers.1.attn:z")["layers.1.attn:z"].array
    part = found["layers.1.attn:z[head=2,pos=-1]"]
    assert torch.equal(part.array, whole[:, -1, 2])
    assert str(part.site) == "layers.1.attn:z[head=2,pos=-1]"
    assert "layers.1.attn:z[head=2,batch=0]" in found
    assert "layers.1.attn:z[head=1,batch=0]" not in found
    with pytest.raises(SiteError, match="was not recorded"):
        found["layers.1.attn:z"]


def test_layers_stack() -> None:
    model, batch, _ = ragged()
    found = model.record(batch, "layers.*:out", "layers.*.attn:z[head=1]", "embed:out")
    stack = found.stack("layers.*:out")
    assert stack.axes == ("layer", *AXES)
    assert torch.equal(stack.array, torch.stack([found[f"layers.{i}:out"].array for i in range(3)]))
    last = found.stack("layers.*:out[pos=-1]")
    assert torch.equal(last.array, stack.at(pos=-1).array)
    assert torch.equal(last.array[2], found["layers.2:out[pos=-1]"].array)
    assert torch.equal(stack.mean("pos").array[1], found[OUT].mean("pos").array)
    assert torch.equal(found.stack("/transformer.h.*:out").array, stack.array)
    assert found.stack("layers.*.attn:z[head=1,pos=-1]").axes == ("layer", "batch", "dim")
    part = stack.at(layer=1)
    assert torch.equal(part.array, found[OUT].array)
    assert parse(str(part.site)) == part.site
    assert all(f"layer {number}" in str(stack.show().svg) for number in range(3))
    with pytest.raises(SiteError, match="nothing was recorded"):
        found.stack("layers.*:resid_mid")
    with pytest.raises(SiteError, match="different shapes"):
        model.record(tokens(), "layers.1:out", "unembed:out").stack("**:out")
    with pytest.raises(SiteError) as refused:
        found["layers.*:out"]
    assert "recording.stack('layers.*:out')" in refused.value.hint


def test_values_reckon_by_the_names_of_their_axes() -> None:
    a, b = value(AXES, 2, 3, 4), value(("dim", "batch", "pos"), 4, 2, 3, site="b:out")
    turned = b.array.permute(1, 2, 0)
    for made, expected in (
        (a - b, a.array - turned),
        (a * b, a.array * turned),
        (a + 2, a.array + 2),
        (2 - a, 2 - a.array),
        (1 / a, 1 / a.array),
        (a / 2, a.array / 2),
        (-a, -a.array),
        (abs(-a), a.array),
        (a**2, a.array**2),
        (a * torch.ones(4), a.array),
        (torch.ones(4) * a, a.array),
        (a - a.mean("dim"), a.array - a.array.mean(-1, keepdim=True)),
        (a.mean("dim") - a, a.array.mean(-1, keepdim=True) - a.array),
        (a / value(AXES, 2, 3, 1), a.array / value(AXES, 2, 3, 1).array),
    ):
        assert made.axes == AXES
        assert torch.equal(made.array, expected)
        assert made.site == a.site
    for other in (value(("batch", "head"), 2, 3), value(AXES, 2, 5, 4)):
        with pytest.raises(SiteError, match=r"do not fit: axis (head|pos|dim|batch)"):
            a - other
    with pytest.raises(SiteError, match="has shape"):
        a * torch.ones(5, 2, 3, 4)
    arrays = Value(a.site, a.array.numpy(), AXES) * Value(b.site, b.array.numpy(), b.axes)
    assert np.array_equal(arrays.array, (a.array * turned).numpy())


@pytest.mark.parametrize("how", [lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / b])
def test_numbers_and_arrays_of_numpy_leave_values_their_axes(how: Any) -> None:
    held = value(AXES, 2, 3, 4)
    ones = np.arange(24, dtype=np.float32).reshape(2, 3, 4) + 2
    for left, right in ((np.float64(3), held), (held, np.float64(3)), (ones, held), (held, ones)):
        made = how(left, right)
        assert isinstance(made, Value)
        assert isinstance(made.array, Tensor)
        assert made.axes == AXES
        assert np.allclose(made.array, how(np.asarray(left), np.asarray(right)))


def test_values_of_other_tokens_do_not_meet_position_by_position() -> None:
    model = opened()
    one, other = (model.record(model.batch(each), OUT)[OUT] for each in (["abc", "xy"], ["xy", "abc"]))
    with pytest.raises(SiteError, match=r"examples of \[3, 2\] tokens, .* of \[2, 3\]"):
        one - other
    assert (one.at(pos=-1) - other.at(pos=-1)).shape == (2, 32)
    attribution = (one * one).mean("pos")
    torch.testing.assert_close(attribution.array[1], one.array[1, :2].square().mean(0))


def test_a_recording_can_be_saved_when_it_is_there(tmp_path: Path) -> None:
    model, batch, _ = ragged()
    found = model.record(batch, OUT, "layers.1.attn:z[head=1]")
    found.save(tmp_path / "run")
    loaded = models.load_recording(tmp_path / "run")
    assert list(loaded) == list(found)
    for site in found:
        assert torch.equal(loaded[site].array, found[site].array)
        assert loaded[site].axes == found[site].axes
    assert torch.equal(loaded[f"{OUT}[pos=-1]"].array, found[f"{OUT}[pos=-1]"].array)
    with pytest.raises(SiteError, match="is not empty"):
        found.save(tmp_path / "run")
    with pytest.raises(SiteError, match="holds no values"):
        model.record(batch, edits={OUT: dl.zero()}).save(tmp_path / "none")


def test_a_patch_from_prompts_of_other_lengths_puts_no_padding_onto_tokens() -> None:
    model, batch, _ = ragged()
    source = model.record(["xy", "abcdefg", "mnopq"], OUT)
    for change in (dl.take(source), dl.put(source[OUT]), dl.add(source[OUT]), dl.scale(source[OUT])):
        with pytest.raises(SiteError, match="some would get padding"):
            model.run(batch, {OUT: change})
    with pytest.raises(SiteError, match="some would get padding"):
        model.jvp(batch, {OUT: source[OUT]}, "layers.2:out")
    model.run(batch, {f"{OUT}[pos=-1]": dl.take(source)})
    model.run(batch, {OUT: dl.take(model.record(batch, OUT))})


def test_each_example_has_a_position_of_its_own_in_generation() -> None:
    model = opened()
    batch = model.batch(["abcdeg", "mnopqx"])
    options = {"max_new_tokens": 3, "do_sample": False, "pad_token_id": 0}
    site = f"{OUT}[pos=(3,1)]"
    found = model.generate(batch, OUT, site, edits={"layers.0:out[pos=(3,1)]": dl.scale(2.0)}, **options)
    whole = found[OUT].array
    assert torch.equal(found[site].array, torch.stack([whole[0, 3], whole[1, 1]]))
    with pytest.raises(SiteError, match="some examples have their position and others do not"):
        model.generate(batch, f"{OUT}[pos=(3,6)]", **options)


# mistakes


@pytest.mark.parametrize(
    ("call", "message", "hint"),
    [
        (lambda m, x: m.record(x, [OUT, PATTERN]), "expected a site, got list", "*sites"),
        (lambda m, x: m.record(x, 3), "expected a site, got int", "layers.1:out"),
        (lambda m, x: m.record(x, OUT)[3], "expected a site, got int", "layers.1:out"),
        (lambda m, x: m.run(x, {OUT: dl.zero}), "is the function zero itself", "zero(...)"),
        (lambda m, x: m.run(x, {OUT: np.ones(3)}), "got a bare ndarray", "put"),
        (lambda m, x: m.run(x, {OUT: lambda v, hook: v}), f"the edit <lambda> at {OUT} is given one", "partial"),
        (lambda m, x: dl.take({OUT: x}), "take: expected a Recording, got a dict", "put"),
        (lambda m, x: dl.mean(x), "mean: expected a Recording, got a Tensor", "put"),
        (lambda m, x: m.record(x, "blocks.3.hook_resid_pre"), "expected path:port", "layers.3:in"),
        (lambda m, x: m.record(x, "blocks.*.attn.hook_z"), "expected path:port", "layers.*.attn:z"),
        (lambda m, x: m.record(x, "blocks.1:resid_pre"), "no site 'blocks.1:resid_pre'", "layers.1:in"),
        (lambda m, x: m.record(x, "layers.1:resid_pre"), "no site 'layers.1:resid_pre'", "layers.1:in"),
        (lambda m, x: m.record(x, "ln_final.hook_scale"), "expected path:port", "norm:scale"),
        (lambda m, x: m.record(x, "layers.1"), "expected path:port", "did you mean layers.1:out?"),
        (lambda m, x: m.record(x, "transformer.h.1[pos=-1]"), "expected path:port", "transformer.h.1:out[pos=-1]?"),
        (lambda m, x: m.record(x, "**:resid*"), "expected path:port", "a port is one name"),
        *(
            (lambda m, x, axis=axis: m.record(x, f"{OUT}[{axis}=1]"), f"{axis!r}", f"did you mean {here}?")
            for axis, here in {
                "seq": "pos",
                "position": "pos",
                "token": "pos",
                "hidden": "dim",
                "bach": "batch",
            }.items()
        ),
        (lambda m, x: m.record(x, OUT)[OUT].mean("seq"), "are batch pos dim, got 'seq'", "did you mean pos?"),
        (lambda m, x: dl.add("happy"), "add: expected a Value, a tensor or a number, got str 'happy'", "direction"),
        (lambda m, x: dl.add(x, "a"), "add: scale: expected a Value, a tensor or a number, got str 'a'", ""),
        (lambda m, x: dl.scale("a"), "scale: expected a Value, a tensor or a number, got str 'a'", ""),
        (lambda m, x: dl.put(object()), "put: expected a Value, a tensor or a number, got object", ""),
        (lambda m, x: dl.project("a"), "project: expected a Value, a tensor or a number, got str 'a'", ""),
        (lambda m, x: m.record(x, f"{OUT}[step=1:]"), "names decoding steps", "model.generate"),
        (lambda m, x: m.record(x, f"{OUT}[expert=1]"), "batch pos dim, of images channel height width, got 'exp", ""),
        (lambda m, x: m.record(x, f"{OUT}[head=1]"), "pins 'head', and the value there has axes batch pos dim", ""),
        (lambda m, x: models.open(llama()).record(x, "layers.1.attn:k[head=3]"), "axis head has 2", "key-value heads"),
        (
            lambda m, x: m.record(m.batch(["abc", "xy"]), f"{OUT}[pos=2]"),
            "axis pos has 2 in the shortest example",
            "0 to 1",
        ),
    ],
)
def test_a_mistake_is_told_and_a_way_out(call: Any, message: str, hint: str) -> None:
    with pytest.raises(SiteError) as refused:
        call(opened(), tokens())
    assert message in refused.value.message
    assert hint in refused.value.hint


def test_a_recording_of_nothing_says_where_the_output_is() -> None:
    recording = Recording([], torch.zeros(2))
    for shown in (repr(recording), recording._repr_html_()):
        assert "nothing was recorded; .output has what the model returned, a Tensor" in shown
    assert repr(Recording([], None)) == "nothing was recorded"


def test_an_error_inside_an_edit_names_the_site() -> None:
    def broken(v: Tensor) -> Tensor:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine") as failed:
        opened().run(tokens(), {OUT: broken})
    assert f"in the edit broken at {OUT}" in failed.value.__notes__


def test_a_mean_over_one_example_is_refused() -> None:
    with pytest.raises(SiteError, match="the mean over a batch of one is the value itself"):
        opened().run(tokens()[:1], {OUT: dl.mean()})


def test_norms_do_not_count_padding() -> None:
    model, batch, alone = ragged()
    for site in (OUT, PATTERN):
        expected = sum(float(each[site].array.square().sum()) for each in alone) ** 0.5
        found = model.record(batch, site)
        assert found.rows()[0][3] == f"{expected:.4g}"
        assert repr(found[site]).endswith(f"norm {expected:.4g})")


def test_a_token_that_stands_several_times_is_found_by_its_number() -> None:
    batch = opened().batch(["abca", "xaay"])
    with pytest.raises(SiteError, match="'a' 2 times") as refused:
        batch.find("a")
    assert "which=-1" in refused.value.hint
    assert (batch.find("a", which=0), batch.find("a", which=-1)) == ((0, 1), (3, 2))


def test_a_value_that_is_taken_for_a_tensor_says_where_that_is() -> None:
    value = opened().record(tokens(), OUT)[OUT]
    with pytest.raises(SiteError, match="by the names of its axes") as refused:
        value[0]
    assert "value.at(batch=0)" in refused.value.hint
    with pytest.raises(AttributeError, match=r"value\.array"):
        value.softmax(-1)
    with pytest.raises(SiteError, match="are batch pos dim, got 0"):
        value.mean(0)  # type: ignore[arg-type]
