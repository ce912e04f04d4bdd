"""JAX models cut over eight virtual devices give what one device gives. The cases are in jax_shards_worker.py."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import virtual_devices
from jax_shards_worker import CASES, DEVICES

WORKER = Path(__file__).with_name("jax_shards_worker.py")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What came of the cases that this run of the tests is to show."""
    cases = [item.callspec.params["case"] for item in request.session.items if item.path == request.path]
    file = tmp_path_factory.mktemp("shards") / "told.json"
    command = [sys.executable, str(WORKER), str(file), *cases]
    environment = virtual_devices.environment(DEVICES)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(file.read_text())


@pytest.mark.parametrize("case", CASES)
def test_a_cut_model_gives_what_a_whole_one_gives(case: str, told: dict[str, str]) -> None:
    assert told[case] == "ok", told[case]
