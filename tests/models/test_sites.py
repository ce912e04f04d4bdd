import numpy as np
import pytest

from darklantern.errors import SiteError
from darklantern.models import Site, nearest, parse, select_paths
from darklantern.models.selecting import select
from darklantern.models.sites import AXES, Several, Span, expand


def test_a_site_is_path_port_and_pins() -> None:
    site = parse("layers.1.attn:z[head=2,pos=-1]")
    assert site == Site("layers.1.attn", "z", (("head", 2), ("pos", -1)))
    assert str(site) == "layers.1.attn:z[head=2,pos=-1]"
    assert parse(str(site)) == site


def test_calls_members_slices_and_sets_are_written_as_they_are_read() -> None:
    text = "layers.1#0:out.logits[batch={1,3},pos=2:-1]"
    site = parse(text)
    assert (site.call, site.member) == (0, "logits")
    assert dict(site.select) == {"batch": Several((1, 3)), "pos": Span(2, -1)}
    assert str(site) == text


def test_braces_and_globs_name_several_sites() -> None:
    found = [str(site) for site in expand("layers.{0,2}.attn:{z, pattern}[head=1]")]
    assert found == [f"layers.{i}.attn:{port}[head=1]" for i in (0, 2) for port in ("z", "pattern")]
    with pytest.raises(SiteError, match="expected one site, got 2"):
        parse("a:{q,k}")


@pytest.mark.parametrize(
    "text", ["a:z[head=2,pos=-1]", "a:z[head={2,0},pos=1:4]", "a:z[batch={1,0},head={2,0},dim=-1]", "a:z"]
)
def test_a_selection_reads_and_writes_what_numpy_does_axis_by_axis(text: str) -> None:
    axes, values = AXES["z"], np.arange(2.0 * 5 * 3 * 4).reshape(2, 5, 3, 4)
    chosen = select(parse(text), axes, values.shape)
    spans = zip(chosen.index, values.shape, strict=True)
    grid = [np.arange(size)[[at] if isinstance(at, int) else at] for at, size in spans]
    truth = values[np.ix_(*grid)].squeeze(tuple(i for i, at in enumerate(chosen.index) if isinstance(at, int)))
    assert np.array_equal(chosen.part(values), truth)
    assert len(chosen.remaining) == truth.ndim
    written = values.copy()
    chosen.write(written, -truth)
    expected = values.copy()
    expected[np.ix_(*grid)] *= -1
    assert np.array_equal(written, expected)


def test_positions_count_in_each_examples_own_tokens() -> None:
    values = np.arange(3.0 * 6 * 2).reshape(3, 6, 2) + 1
    axes, lengths = ("batch", "pos", "dim"), (6, 4, 5)
    last = select(parse("a:out[pos=-1]"), axes, values.shape, lengths)
    assert last.remaining == ("batch", "dim")
    assert np.array_equal(last.part(values), values[[0, 1, 2], [5, 3, 4]])
    written = values.copy()
    last.write(written, np.zeros((3, 2)))
    assert [int(row) for row in (written == 0).all(-1).argmax(1)] == [5, 3, 4]
    assert (written != values).any(-1).sum() == 3
    assert np.array_equal(select(parse("a:out[pos=2]"), axes, values.shape, lengths).part(values), values[:, 2])
    with pytest.raises(SiteError, match="axis pos has 4"):
        select(parse("a:out[pos=4]"), axes, values.shape, lengths)  # which example 1 does not have
    with pytest.raises(SiteError, match="from 4 to 6 tokens"):
        select(parse("a:out[pos=-2:]"), axes, values.shape, lengths)


def test_an_index_outside_of_the_value_is_refused() -> None:
    with pytest.raises(SiteError, match="axis head has 3"):
        select(parse("a:z[head=3]"), AXES["z"], (2, 5, 3, 4))
    with pytest.raises(SiteError, match="axes batch channel"):
        select(parse("a:out[pos=1]"), ("batch", "channel"), (2, 5))


@pytest.mark.parametrize(
    "text", ["layers", "a:", "a:z[", "a:z[head]", "a:z[head=x]", "a:out[expert=1]", "a:z[pos=1,pos=2]"]
)
def test_what_is_no_site_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(SiteError) as refused:
        parse(text)
    assert refused.value.hint


def test_globs_keep_model_order() -> None:
    paths = ["", "layers.0", "layers.1", "layers.0.attn", "layers.1.attn", "norm"]
    assert select_paths("layers.*.attn", paths) == ["layers.0.attn", "layers.1.attn"]


def test_nearest_names_what_was_probably_meant() -> None:
    assert nearest("layer.0:out", ["layers.0:out", "norm:out"])[0] == "layers.0:out"
