"""The room `methods` of the benches: what both sides are given, and that lines say what was found and what was not."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "bench"))  # last: what tests call by the same name stays theirs

import environments
from methods import copying, driver, hooked, labelled, lensed, lines, peers, report
from models.driver import Answer

EDGES = {"embed → layers.0.mlp:in": 1.0, "layers.0.mlp:out → logits": -0.5, "embed → logits": 0.1}


def results(folder: Path, **cases: dict[str, Any]) -> driver.Results:
    """Answers as workers give them, by case and then worker."""
    spent = {"darklantern": [1.0]}
    answers = {
        (case.replace("_ig", "-ig").replace("ig_rec", "ig-rec"), setting, name): Answer(
            case=[] if case == "lens_kl" else spent.get(name, [3.0]), detail=detail
        )
        for case, by_worker in cases.items()
        for (setting, name), detail in by_worker.items()
    }
    hellos = {peer.name: {"version": "1.2.3"} for peer in peers.WORKERS}
    return driver.Results(answers, hellos, {"captum": "not installed"}, folder)


def named(found: list[lines.Line]) -> dict[str, lines.Line]:
    return {each["name"]: each for each in found}


def test_every_peer_has_a_pinned_environment_of_its_own() -> None:
    held = [peer.environment for peer in peers.PEERS]
    assert len({each.folder for each in held if each}) == len(peers.PEERS)
    for each in held:
        assert isinstance(each, environments.Environment)
        assert all("==" in pin for pin in (each.pin, *each.beside))


def test_data_are_the_same_every_time() -> None:
    for made in (lambda: labelled.two("300x1024")[0], lambda: labelled.several("5 classes"), copying.contrast):
        for one, two in zip(made(), made(), strict=True):
            np.testing.assert_array_equal(one, two)
    assert not any(np.array_equal(held, seen) for held in lensed.held_out() for seen in lensed.fitted_on())


def test_a_sequence_says_the_same_again_and_pairs_differ_in_one_token() -> None:
    tokens, again = copying.sequences(32, 0)
    for row, second in zip(tokens, again, strict=True):
        period = int(np.flatnonzero(second)[0])
        np.testing.assert_array_equal(row[period : 2 * period], row[:period][: len(row) - period])
    clean, corrupt, answer, other = copying.contrast()
    assert ((clean != corrupt).sum(1) == 1).all()
    assert (answer != other).all()
    np.testing.assert_array_equal(corrupt[:, copying.CHANGED], other)


def test_nodes_of_circuitkit_have_our_names() -> None:
    assert [hooked.sender(each) for each in ("input", "m1", "a12.h3")] == [
        "embed", "layers.1.mlp:out", "layers.12.attn:result[head=3]",
    ]  # fmt: skip
    assert [hooked.receiver(*each) for each in (("logits", None), ("m0", None), ("a2.h1", "q"))] == [
        "logits", "layers.0.mlp:in", "layers.2.attn:q[head=1]",
    ]  # fmt: skip


OFF = {**EDGES, "embed → logits": 2.0}


@pytest.mark.parametrize(("ours", "theirs", "ok"), [(EDGES, OFF, True), (EDGES, EDGES, True), (OFF, EDGES, False)])
def test_edge_lines_judge_scores_against_exact_ones(
    tmp_path: Path, ours: dict[str, float], theirs: dict[str, float], ok: bool
) -> None:
    model, pair = "siit", [(peer.name, peer) for peer in (peers.OURS, peers.CIRCUITKIT)]
    cheap = {"forward": 2, "backward": 1, "forward_once": 6, "output_off": 0.0}
    for how in ("exact", "eap", "eap-ig", "eap-ig-receivers", "relp"):
        for name, _ in pair:
            held = {"eap-ig": theirs, "eap-ig-receivers": ours}.get(how, EDGES)
            (tmp_path / f"{model}-edges_{how}-{name}.json").write_text(json.dumps(held))
    (tmp_path / f"{model}-true.json").write_text(json.dumps(["embed → layers.0.mlp:in"]))
    asked = {(model, name): cheap for name, _ in pair}
    found = named(lines.lines(results(tmp_path, edges_exact=asked, edges_eap=asked, edges_eap_ig=asked,
                                      edges_eap_ig_receivers=asked, edges_relp=asked)))  # fmt: skip
    beside = found[
        f"edge_scores · {model} · Pearson to exact · eap-ig-receivers, beside circuitkit's eap-ig of 5 steps as ours"
    ]
    assert beside["ok"] is ok
    assert (beside["peer"], beside["peer_version"]) == ("circuitkit", "1.2.3")
    assert found[f"edge_scores · {model} · relp · AUROC against the known circuit"]["value"] == 1.0
    assert found[f"edge_scores · {model} · relp · passes for a batch of pairs"]["ok"] is True


def test_a_lens_that_is_farther_off_is_a_missed_bar(tmp_path: Path) -> None:
    kl = {"darklantern adam": [1.0, 0.5, 0.2, 0.1], "logit lens": [2.0] * 4}
    kl |= {"tuned-lens adam": [1.0, 0.4, 0.2, 0.1], "tuned-lens as shipped": [1.1, 0.6, 0.3, 0.2]}
    lens = {("adam", "darklantern"): {}, ("adam", "tuned-lens"): {}, ("as shipped", "tuned-lens"): {}}
    found = named(lines.lines(results(tmp_path, lens=lens, lens_kl={("all", "darklantern"): kl})))
    assert [found[f"tuned_lens · beside tuned-lens, adam · layers.{n}:in, held-out KL"]["ok"] for n in (0, 1)] == [
        True, False,
    ]  # fmt: skip
    assert found["tuned_lens · beside tuned-lens, as shipped · fitted faster"]["value"] == 3.0


def test_what_was_not_measured_is_said_and_missed(tmp_path: Path) -> None:
    given = results(tmp_path)
    found = lines.lines(given)
    assert named(found)["captum is absent"]["detail"] == {"reason": "not installed"}
    for start in ("logistic_probe", "lda", "leace", "edge_scores", "tuned_lens"):
        (first, *_) = [each for each in found if each["name"].startswith(start)]
        assert first["ok"] is False
        assert first["value"] is None
    assert "**missed**" in report.page(given, found)
