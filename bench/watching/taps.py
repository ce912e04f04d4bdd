"""`tap_self_test`: each way in which a tap may see no data, in each way of training a model; all must raise.

The faults are those of `tests/watch/test_self_test.py`: here they are tried on the model as it is and compiled. Those
of models cut over ranks and of JAX under jit are tests of their own, run as such and counted.
"""

import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import torch
from torch import nn

from darklantern.errors import DarkLanternError
from watching.lines import Line, absent, line

TESTS = Path(__file__).parents[2] / "tests"
BAR = "every fault"
OUTSIDE = {
    "ddp, FSDP, tensor parallel": ("test_sharded.py", "a_tap_that_never_fires"),
    "jit": (
        "test_jax_step.py",
        "sites_and_lenses or take_the_rows or keeps_the_state or never_takes or buffers or from_before",
    ),
}
"""way of training → file of tests, and which of them are faults"""
HOW: dict[str, Callable[[nn.Module], nn.Module]] = {
    "plain": lambda model: model,
    "compiled in place": lambda model: model.compile(backend="eager") or model,
    "torch.compile": lambda model: torch.compile(model, backend="eager"),
}


def lines(tiny: bool) -> list[Line]:
    """One line for each way of training, and one over all; the tiny setting leaves out those of other processes."""
    found = [_here(how) for how in HOW]
    found += [] if tiny else [_outside(how) for how in OUTSIDE]
    told = [each for each in found if each["value"] is not None]
    raised, of = (sum(each["detail"][key] for each in told) for key in ("raised", "of"))
    whole = len(told) == len(found)
    return [line("tap_self_test", raised, f"of {of} faults raised", BAR, whole and raised == of), *found]


def _here(how: str) -> Line:
    sys.path.insert(0, str(TESTS))
    from watch.test_self_test import FAULTS, begun

    silent = []
    for fault, (make, site, error, _) in FAULTS.items():
        torch._dynamo.reset()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                begun(HOW[how](make()), site)
            except DarkLanternError as raised:
                if not isinstance(raised, error):
                    silent.append(f"{fault}: {type(raised).__name__}")
            else:
                silent.append(fault)
    return _line(how, len(FAULTS) - len(silent), len(FAULTS), silent)


def _outside(how: str) -> Line:
    file, chosen = OUTSIDE[how]
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "told.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", f"--junitxml={told}", "-k", chosen]
        path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            [*command, str(TESTS / "watch" / file)],
            env=os.environ | {"PYTHONPATH": path},
            cwd=TESTS.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        cases = list(ElementTree.parse(told).iter("testcase")) if told.exists() else []
    ran = [case for case in cases if case.find("skipped") is None]
    if not ran:
        why = (done.stdout + done.stderr).strip()[-300:] or "no test ran"
        return absent(f"tap_self_test · {how}", "faults raised", BAR, why)
    wrong = [str(case.get("name")) for case in ran if len(case)]
    return _line(how, len(ran) - len(wrong), len(ran), wrong)


def _line(how: str, raised: int, of: int, silent: list[str]) -> Line:
    name = f"tap_self_test · {how}"
    return line(name, raised, f"of {of} faults raised", BAR, raised == of, raised=raised, of=of, silent=silent)
