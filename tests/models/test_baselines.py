"""What the frameworks' own captures see in the twins is what the oracles have there: the twins are twins inside too."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from test_twins import built, oracle
from twins import TWINS, Twin, wide
from twins.baselines import Captured, capture, difference, differences

pytestmark = pytest.mark.slow
SEEN = [twin for twin in TWINS if twin.framework in ("linen", "nnx") or twin.name == "gpt2-haiku"]
UNSEEN = [twin for twin in TWINS if twin.framework in ("equinox", "function")]


@torch.no_grad()
def outputs(twin: Twin) -> dict[str, Any]:
    """What the oracle has at each `out` that the twin should have, in the twin's order."""
    subject, module, inputs = oracle(twin.oracle, torch.float64)
    seen: dict[str, Any] = {}

    def visit(site: str, value: torch.Tensor) -> torch.Tensor:
        if site.endswith(":out") and not twin.lacking(site):
            seen[site] = twin.placed(site, value.numpy())
        return value

    (twin.forward or subject.forward)(module, inputs, visit)
    return seen


def captured_at(site: str, twin: Twin, captured: Captured) -> Any:
    path, _, call = site.removesuffix(":out").partition("#")
    native = twin.native(path)
    value = captured[re.sub(r"\[\d+\]", "", native)][int(call or 0)]
    value = value[0] if isinstance(value, (tuple, list)) else value  # the carry, where a scan's body returns more
    layer = re.search(r"\[(\d+)\]", native)
    return value[int(layer[1])] if layer else value


@pytest.mark.parametrize("twin", SEEN, ids=lambda twin: twin.name)
def test_what_modules_return_is_what_the_oracle_has_there(twin: Twin) -> None:
    with wide():
        captured = capture(twin, *built(twin, torch.float64))
        expected = outputs(twin)
        assert len(expected) >= 7
        found = {site: captured_at(site, twin, captured) for site in expected}
    assert not differences(found, expected, 10 * twin.tolerance)


@pytest.mark.parametrize("twin", UNSEEN, ids=lambda twin: twin.name)
def test_a_framework_without_a_tool_says_so(twin: Twin) -> None:
    with wide(), pytest.raises(ValueError, match="no way of its own"):
        capture(twin, *built(twin, torch.float64))


def test_differences_name_what_is_missing_and_what_is_off() -> None:
    a, b = np.zeros(3), np.ones(3)
    assert differences({"x": a}, {"x": a.copy()}) == {}
    assert differences({"x": a}, {"y": a}) == {"x": "only in the first", "y": "only in the second"}
    assert differences({"x": b}, {"x": b + 1e-9}) == {"x": "not the same bits"}
    assert differences({"x": b}, {"x": b + 1e-9}, 1e-8) == {}
    assert "off by 1e-06" in difference(b, b + 1e-6, 1e-8)
    assert "off by nan" in difference(np.full(3, np.nan), b, 1e-8)
    assert difference(np.zeros(2, np.float32), np.zeros(2)) == "float32(2,), not float64(2,)"
    assert difference(np.array([0.0]), np.array([-0.0])) == "not the same bits"
