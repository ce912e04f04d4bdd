import pytest

from darklantern.errors import SiteError
from darklantern.models import Site, nearest, parse, select_paths


def test_a_site_is_path_port_and_pins() -> None:
    site = parse("layers.1.attn:z[head=2,pos=-1]")
    assert site == Site("layers.1.attn", "z", (("head", 2), ("pos", -1)))
    assert str(site) == "layers.1.attn:z[head=2,pos=-1]"
    assert parse(str(site)) == site


def test_pins_become_an_index_in_the_order_of_the_ports_axes() -> None:
    assert parse("a:z[head=2,pos=-1]").index() == (slice(None), -1, 2, slice(None))
    assert parse("a:pattern[head=1]").index() == (slice(None), 1, slice(None), slice(None))
    assert parse("a:out[pos=3]").index() == (slice(None), 3, slice(None))


@pytest.mark.parametrize(
    "text", ["layers", "a:", "a:z[", "a:z[head]", "a:z[head=x]", "a:out[head=1]", "a:z[pos=1,pos=2]"]
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
