"""Trees, tables and pictures: what they show is what the model holds, and text of others stays text."""

import html.parser
import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from darklantern import models
from darklantern.drawing.ink import ALARM, MASKED, ramp
from darklantern.errors import SiteError
from darklantern.models.picture import Picture
from darklantern.models.recording import Recording, Value
from darklantern.models.sites import Several, Site, Span, parse
from darklantern.models.tokens import Batch
from darklantern.models.tree import WIDE, Part
from darklantern.organisms.bytelm import ByteLM
from darklantern.organisms.shape import Shape

TOKENS = (("The", " cat", " sat", " on"), ("A", " dog"))
SVG = "{http://www.w3.org/2000/svg}"
PATTERN = ("batch", "head", "pos", "key")
HOSTILE = (
    "</text><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "a\x00\x1b[31m",
    "W" * 5000,
    "\u202exe.txt",
)


def recorded(array: Tensor, axes: tuple[str, ...], site: str = "layers.0.attn:pattern", tokens: Any = None) -> Value:
    return Recording([(parse(site), array, axes)], None, tokens)[site]


def pattern(seed: int = 0) -> Tensor:
    scores = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return scores.masked_fill(torch.ones(4, 4).triu(1).bool(), -torch.inf)


def cells(picture: Picture) -> list[tuple[str, str]]:
    """What each cell tells when hovered over, and its colour, in order."""
    found = [each for each in ET.fromstring(picture.svg).iter(SVG + "rect") if each.find(SVG + "title") is not None]
    return [(each[0].text or "", each.get("fill", "")) for each in found]


def runs(picture: Picture) -> dict[tuple[int, int], str]:
    """The colour of each cell of a single field that is drawn in runs."""
    made = {}
    for path in ET.fromstring(picture.svg).iter(SVG + "path"):
        for start, row, count in re.findall(r"M(\d+) (\d+)h(\d+)v1h-\d+z", path.get("d", "")):
            made |= {(int(row), int(start) + i): path.get("fill", "") for i in range(int(count))}
    return made


def texts(picture: Picture) -> list[str]:
    return [each.text or "" for each in ET.fromstring(picture.svg).iter(SVG + "text")]


# pictures


def test_each_cell_of_a_pattern_has_the_colour_of_its_value_and_names_its_tokens() -> None:
    array = pattern().softmax(-1)
    shown = cells(recorded(array, PATTERN, tokens=TOKENS).show())
    assert len(shown) == 3 * 4 * 4
    limit = float(array[0].max())
    for (told, colour), value in zip(shown, array[0].flatten().tolist(), strict=True):
        assert colour == ramp(value / limit), told
    assert shown[4 * 1 + 2][0].endswith(": pos 1 “␣cat”, key 2 “␣sat”")


def test_tokens_stand_on_both_sides_and_heads_have_names() -> None:
    written = texts(recorded(pattern().softmax(-1), PATTERN, tokens=TOKENS).show())
    assert written.count("␣cat") == 1 + 3  # beside the row of heads, and below each
    assert [text for text in written if text.startswith("head ")] == ["head 0", "head 1", "head 2"]
    assert {"pos", "key"} <= set(written)


def test_scores_show_what_the_mask_forbids() -> None:
    array = pattern()
    picture = recorded(array, PATTERN, tokens=TOKENS).show()
    for (told, colour), value in zip(cells(picture), array[0].flatten().tolist(), strict=True):
        assert (colour == MASKED) == (value == -math.inf) == told.startswith("masked")
    assert "masked (−∞)" in texts(picture)


def test_of_several_examples_the_first_is_drawn_and_at_chooses_another_without_its_padding() -> None:
    array = pattern().softmax(-1)
    value = recorded(array, PATTERN, tokens=TOKENS)
    assert any("Example 0 of 2" in text for text in texts(value.show()))
    other = value.at(batch=1)
    assert other.tokens == [TOKENS[1]]
    shown = cells(other.show())
    assert len(shown) == 3 * 2 * 2 and shown[1][0].endswith("pos 0 “A”, key 1 “␣dog”")
    assert [colour for _, colour in shown[:4]] == [
        ramp(each / float(array[1, :, :2, :2].max())) for each in array[1, 0, :2, :2].flatten().tolist()
    ]
    assert any("The last 2 of 4 positions are padding" in text for text in texts(other.show()))


@pytest.mark.parametrize(
    ("pin", "places"), [(Span(1, 3), [1, 2]), (Span(-2, None), [2, 3]), (Several((3, 0)), [3, 0]), ("*", [0, 1, 2, 3])]
)
def test_a_part_of_the_positions_keeps_its_tokens_and_their_numbers(pin: Any, places: list[int]) -> None:
    whole = recorded(pattern()[:1].softmax(-1), PATTERN, tokens=TOKENS[:1])
    for value in (whole.at(pos=pin), whole.at(head=1).at(pos=pin)):
        rows = dict.fromkeys(re.findall(r"pos (\d+) “(\S+)”", " ".join(told for told, _ in cells(value.show()))))
        assert list(rows) == [(str(at), TOKENS[0][at].replace(" ", "␣")) for at in places]


def test_a_part_of_other_axes_is_numbered_as_in_the_whole() -> None:
    array = torch.zeros(1, 6, 8, 16)
    value = recorded(array, ("batch", "head", "pos", "dim"), "layers.0.attn:z")
    chosen = value.at(head=Several((1, 4)), dim=Span(10, None)).at(dim=Several((0, -1)), pos=Span(-2, None))
    shown = [told for told, _ in cells(chosen.show())]
    assert shown[:4] == ["0: pos -2, dim 10", "0: pos -2, dim 15", "0: pos -1, dim 10", "0: pos -1, dim 15"]
    assert {"head 1", "head 4"} <= set(texts(chosen.show()))


def test_one_position_shows_heads_by_keys() -> None:
    shown = cells(recorded(pattern().softmax(-1), PATTERN, tokens=TOKENS).at(pos=-1).show())
    assert len(shown) == 3 * 4 and shown[-1][0].endswith("head 2, key 3 “␣on”")


def test_tokens_are_of_the_examples_that_a_recording_or_a_value_holds() -> None:
    array = pattern()
    rows = [(parse("a:pattern[batch=1]"), array[1], PATTERN[1:]), (parse("b:pattern"), array, PATTERN)]
    recording = Recording(rows, None, TOKENS)
    assert recording["a:pattern[batch=1]"].tokens == [TOKENS[1]]
    assert recording["b:pattern[batch={1,0}]"].tokens == [TOKENS[1], TOKENS[0]]
    assert recording["b:pattern"].at(head=0).tokens == [*TOKENS]
    assert recording["b:pattern"].mean("batch", "pos", "key").tokens is None
    assert recording["b:pattern"].mean("head").tokens == [*TOKENS]


def test_tokens_of_an_encoder_are_not_put_on_the_positions_of_a_decoder() -> None:
    array = torch.rand(1, 1, 4, 4)
    for site, known in (
        ("decoder.layers.0.attn", ()),
        ("decoder.layers.0.cross_attn", ("key",)),
        ("layers.0.attn", PATTERN[2:]),
    ):
        told = cells(recorded(array, PATTERN, f"{site}:pattern", TOKENS[:1]).show())[6][0]
        assert tuple(re.findall(r"(pos|key) \d “", told)) == tuple(known)


def test_a_residual_stream_is_positions_by_dims_and_outliers_do_not_hide_the_rest() -> None:
    array = torch.linspace(-1, 1, 4 * 96).reshape(1, 4, 96)
    array[0, 2, 50] = 400.0
    picture = recorded(array, ("batch", "pos", "dim"), "layers.0:out", TOKENS[:1]).show()
    shown = cells(picture)
    assert shown[2 * 96 + 50] == ("400: pos 2 “␣sat”, dim 50", ramp(1.0))
    assert shown[0][1] in (ramp(-1.0), ramp(-1 / float(array.abs().quantile(0.99))))
    assert any("Colours end at" in text for text in texts(picture)) and "to 400" in picture.says


def test_pooled_cells_keep_the_strongest_value_and_say_how_many_they_stand_for() -> None:
    array = torch.zeros(1, 1, 512, 512)
    array[0, 0, 300, 101] = 0.9
    array[0, 0, 40, 30] = -0.9
    array[0, 0, 8:12, 8:12] = -torch.inf
    array[0, 0, 200, 200] = torch.nan
    picture = recorded(array, PATTERN, tokens=[["a"] * 512]).show()
    found = runs(picture)
    assert len(found) == 128 * 128
    assert (
        found[75, 25] == ramp(1.0) and found[10, 7] == ramp(-1.0) and found[2, 2] == MASKED and found[50, 50] == ALARM
    )
    assert sum(colour == ramp(0.0) for colour in found.values()) == 128 * 128 - 4
    assert any("strongest of 4 pos × 4 key" in text for text in texts(picture))
    assert len(picture.svg) < 1e6


def test_images_are_a_grid_of_channels() -> None:
    array = torch.zeros(2, 5, 6, 7)
    array[0, 3, 2, 1] = 2.0
    picture = recorded(array, ("batch", "channel", "height", "width"), "conv:out").show()
    shown = cells(picture)
    assert len(shown) == 5 * 6 * 7 and shown[3 * 42 + 2 * 7 + 1] == ("2: height 2, width 1", ramp(1.0))
    assert {f"channel {i}" for i in range(5)} <= set(texts(picture))


def test_more_channels_than_a_picture_holds_are_left_out_and_told() -> None:
    picture = recorded(torch.rand(1, 100, 4, 4), ("batch", "channel", "height", "width"), "conv:out").show()
    assert any("first 64 of 100" in text for text in texts(picture)) and "channel 64" not in texts(picture)


def test_a_long_vector_runs_in_lines_like_text() -> None:
    array = torch.linspace(0, 1, 300)
    shown = cells(recorded(array, ("dim",), "layers.0:out").show())
    assert len(shown) == 300
    assert shown[0][1] == ramp(0.0) and shown[299][0].startswith("1: dim 256, plus 43")


@pytest.mark.parametrize(
    ("shape", "axes", "count"),
    [
        ((), (), 1),
        ((3,), ("batch",), 3),
        ((2, 8), ("batch", "dim"), 8),
        ((1, 3, 4), ("batch", "pos", "expert"), 12),
        ((1, 3, 2, 4), ("batch", "pos", "head", "dim"), 24),
        ((2, 1, 2, 3, 3), ("call", *PATTERN), 18),
        ((2, 3, 4, 5, 6), ("batch", "channel", "depth", "height", "width"), 90),
        ((2, 2, 2, 2, 2, 2), tuple(f"axis{i}" for i in range(6)), 8),
    ],
)
def test_values_of_any_rank_have_a_picture(shape: tuple[int, ...], axes: tuple[str, ...], count: int) -> None:
    for array in (torch.ones(shape), torch.ones(shape, dtype=torch.bfloat16), torch.ones(shape, dtype=torch.bool)):
        assert len(cells(recorded(array, axes, "a:out").show())) == count


def test_what_has_no_picture_says_so() -> None:
    with pytest.raises(SiteError, match="empty"):
        recorded(torch.ones(1, 0, 4), ("batch", "pos", "dim"), "a:out").show()
    with pytest.raises(SiteError, match="complex"):
        recorded(torch.ones(1, 2, 4, dtype=torch.complex64), ("batch", "pos", "dim"), "a:out").show()
    with pytest.raises(SiteError, match="no values"):
        Recording([], None).show()


def test_values_that_are_nothing_but_masked_or_nan_are_drawn() -> None:
    for value, colour in ((-math.inf, MASKED), (math.nan, ALARM), (0.0, ramp(0.0))):
        picture = recorded(torch.full((1, 1, 3, 3), value), PATTERN).show()
        assert {each for _, each in cells(picture)} == {colour}


def test_a_whole_recording_is_its_values_one_below_the_other() -> None:
    array = pattern()
    recording = Recording([(Site(f"layers.{i}.attn", "pattern"), array, PATTERN) for i in range(20)], None, TOKENS)
    picture = recording.show()
    assert [text for text in texts(picture) if text.startswith("layers.")] == [
        f"layers.{i}.attn:pattern" for i in range(12)
    ]
    assert "8 more" in picture.says and len(picture.svg) < 1e6
    two = recording.show("layers.19.attn:pattern", "layers.3.attn:pattern[head=1]")
    assert [text for text in texts(two) if text.startswith("layers.")] == [
        "layers.19.attn:pattern",
        "layers.3.attn:pattern[head=1]",
    ]
    big = [(Site(f"layers.{i}", "out"), torch.randn(1, 300, 768), ("batch", "pos", "dim")) for i in range(12)]
    assert len(Recording(big, None).show().svg) < 1e6


class Tags(html.parser.HTMLParser):
    """The elements of a document and their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs


def harmless(text: str) -> None:
    tags = Tags(text)
    assert not {"script", "img", "link", "iframe", "object"} & set(tags.names)
    for name, value in tags.attributes:
        assert not name.startswith("on") and name not in ("src", "href")
        assert "url(" not in (value or "")
    assert set(re.findall(r"https?://[^\"' ]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069\u200e\u200f]", text)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_tokens_stay_text(hostile: str) -> None:
    value = recorded(torch.rand(1, 2, 3, 3), PATTERN, tokens=[["a", hostile, "\u200f"]])
    picture = value.show()
    for made in (picture.svg, picture.html, picture._repr_html_()):
        harmless(made)
        assert len(made) < 100_000


def test_a_picture_is_kept_as_what_its_name_ends_in(tmp_path: Path) -> None:
    picture = recorded(pattern(), PATTERN, tokens=TOKENS).show()
    for name in ("a.svg", "a.html", "A.PNG"):
        picture.save(tmp_path / name)
    assert (tmp_path / "a.svg").read_text() == picture.svg
    assert (tmp_path / "a.html").read_text() == picture.html and picture.html.startswith("<!doctype html>")
    assert picture.svg in picture.html and "default-src 'none'" in picture.html
    assert (tmp_path / "A.PNG").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(SiteError, match="gif"):
        picture.save(tmp_path / "a.gif")
    assert "head=3 pos=4 key=4" in repr(picture) and "\n" not in repr(picture)


def test_looking_loads_only_when_something_is_shown() -> None:
    code = (
        "import sys, darklantern.models; "
        "assert not {'numpy', 'torch', 'darklantern.drawing'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# tables


def test_a_recording_is_a_table_in_a_notebook() -> None:
    recording = Recording([(Site("layers.<b>", "out"), torch.ones(1, 3), ("batch", "dim"))], None)
    shown = recording._repr_html_()
    harmless(shown)
    assert Tags(shown).names.count("tr") == 2 and "<b>" not in shown
    for each in recording.rows()[0]:
        assert each.replace("<", "&lt;").replace(">", "&gt;") in shown


# trees


class Net(nn.Module):
    """Images in; one module that runs twice, one that never does, one that stands at two places."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.spare = nn.Linear(2, 2)
        self.head = nn.Linear(4, 4)
        self.again = self.head
        self.tied = nn.Linear(4, 4)
        self.tied.weight, self.tied.bias = self.head.weight, self.head.bias

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.head(self.features(images).flatten(1)))


def lm(layers: int = 3) -> ByteLM:
    return ByteLM(Shape(layers=layers, dim=16, heads=2, context=12), torch.Generator().manual_seed(3))


TOKEN_INPUTS = torch.zeros(2, 7, dtype=torch.long)


def part(tree: Any, path: str) -> Part:
    return next(each for each in tree.parts() if each.path == path)


@pytest.mark.parametrize(
    "module", [lm(), Net(), nn.Transformer(8, 2, 2, 2, 16, batch_first=True)], ids=["lm", "net", "seq"]
)
def test_the_tree_names_exactly_the_parts_and_their_ports(module: nn.Module) -> None:
    model = models.open(module)
    named: dict[str, set[str]] = {}
    for site in model.sites("**:*"):
        named.setdefault(site.path, set()).add(site.port)
    shown = {each.path: set(each.ports) for each in model.tree().parts()}
    assert shown[""] >= {"in", "out"}
    never_called = {path for path in named if path.rpartition(".")[2] == "layers"}
    assert shown == {path: ports for path, ports in named.items() if path not in never_called}
    for each in model.tree(fold=False).rows()[1:]:
        assert each.native in dict(module.named_modules(remove_duplicate=False))


def test_repeated_blocks_are_one_line_that_counts_them() -> None:
    model = models.open(lm(5))
    folded = repr(model.tree(TOKEN_INPUTS))
    assert "layers.0 … layers.4" in folded and re.search(r"5 × \w+ .* each", folded)
    assert folded.count("batch=2 pos=7 dim=16 → same  ") >= 3
    assert "layers.3" not in folded and folded.count(" mlp ") == 1
    unfolded = repr(model.tree(TOKEN_INPUTS, fold=False))
    assert " × " not in unfolded and unfolded.count(" mlp ") == 5
    assert all(f"layers.{i} " in unfolded for i in range(5))


def test_blocks_that_differ_are_not_folded() -> None:
    module = lm(4)
    module.layers[2].mlp.extra = nn.Linear(2, 2)
    shown = repr(models.open(module).tree())
    assert "layers.0 … layers.1" in shown and "├─ layers.2 " in shown and "├─ layers.3 " in shown


def test_shapes_are_those_of_a_run_and_parts_say_how_often_they_ran() -> None:
    tree = models.open(Net()).tree(torch.zeros(2, 3, 8, 8))
    conv, head = part(tree, "features.0"), part(tree, "head")
    assert str(conv.calls[0]) == "batch=2 channel=3 height=8 width=8 → channel=4 height=6 width=6"
    assert len(head.calls) == 2 and part(tree, "spare").calls == ()
    shown = repr(tree)
    assert re.search(r"spare .* did not run", shown) and "→ same (2 calls)" in shown
    assert re.search(r"again .*\(same as head\)", shown) and re.search(r"tied .*\(weights of head\)", shown)
    assert part(tree, "").parameters == sum(each.numel() for each in Net().parameters())


def test_a_tree_leaves_nothing_behind_and_takes_what_record_takes() -> None:
    module = lm()
    model = models.open(module)
    before = module(TOKEN_INPUTS)
    model.tree(TOKEN_INPUTS)
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in module.modules())
    assert torch.equal(module(TOKEN_INPUTS), before)
    assert repr(model.tree((TOKEN_INPUTS,))) == repr(model.tree(TOKEN_INPUTS))


def test_experts_of_which_some_ran_are_folded_and_counted() -> None:
    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.experts = nn.ModuleList(nn.Linear(4, 4) for _ in range(6))

        def forward(self, x: Tensor) -> Tensor:
            return self.experts[0](x) + self.experts[4](x[:1]).sum()

    shown = repr(models.open(Experts()).tree(torch.ones(3, 4)))
    assert re.search(r"experts.0 … experts.5 +6 × Linear +20 each +2 of 6 ran", shown)


@pytest.mark.parametrize("fold", [True, False])
def test_lines_stay_within_a_terminals_width(fold: bool) -> None:
    module = lm(32)
    module.add_module("a_name_without_end_" * 6, nn.Linear(2, 2))
    module.odd = type("AClassNamedAtGreatLength" * 3, (nn.Linear,), {})(2, 2)
    lines = repr(models.open(module).tree(TOKEN_INPUTS, fold=fold)).splitlines()
    assert max(map(len, lines)) <= WIDE and len(lines) > 10


def test_a_notebook_gets_the_same_tree_as_a_table_with_text_as_text() -> None:
    module = lm()
    module.odd = type("<script>alert(1)</script>", (nn.Linear,), {})(2, 2)
    module.add_module("\x1b[31m<img src=x>", nn.ReLU())
    tree = models.open(module).tree(TOKEN_INPUTS)
    shown = tree._repr_html_()
    harmless(shown)
    assert Tags(shown).names.count("tr") == len(tree.rows()) + 1
    assert "&lt;script&gt;" in shown and "pre slope post" in shown
    assert "\x1b" not in repr(tree)


def test_transformers_models_have_trees_too() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(n_layer=3, n_embd=16, n_head=2, vocab_size=50, n_positions=16)
    tree = models.open(transformers.GPT2LMHeadModel(config).eval()).tree(TOKEN_INPUTS)
    shown = repr(tree)
    assert "layers.0 … layers.2" in shown and "3 × GPT2Block" in shown
    assert re.search(r"attn +GPT2Attention .* q k v scores pattern z result", shown)
    assert re.search(r"unembed .*\(weights of embed\)", shown)
    assert part(tree, "layers.1.attn").native == "transformer.h.1.attn"


def test_a_batchs_tokens_reach_the_pictures_of_values_and_of_gradients() -> None:
    model = models.open(lm())
    batch = Batch({"tokens": torch.tensor([[104, 105, 33], [111, 107, 0]])}, (("h", "i", "!"), ("o", "k")))
    recording = model.record(batch, "layers.0.attn:pattern")
    found = model.gradient(batch, lambda output: output[:, :2].sum(), "layers.0:out")
    for value in (recording["layers.0.attn:pattern"], found.gradients["layers.0:out"], found.values["layers.0:out"]):
        assert {"h", "i", "!"} <= set(texts(value.show()))
        assert {"o", "k"} <= set(texts(value.at(batch=1).show()))
