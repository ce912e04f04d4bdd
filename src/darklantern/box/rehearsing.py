"""A program without a box, to find its faults: nothing holds it, nothing is metered, everything is shown."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from darklantern.box.confine.bubblewrap import INPUTS
from darklantern.box.folders import copied
from darklantern.box.inside import OUTLET
from darklantern.box.outlet.symbols import Invalid
from darklantern.box.running.hearing import Hearing
from darklantern.box.spec import Declared

NOT_CONFINED = "NOT CONFINED"
_LOOK_S = 0.05


def rehearse(declared: Declared, show: Callable[[str], None]) -> int:
    """Run the command as oneself, with copies of its inputs; each message is told as it comes. Its exit code.

    For a program that its author wrote and trusts. A path that begins with /box/inputs leads to the copies.
    """
    with tempfile.TemporaryDirectory(prefix="darklantern-rehearsal-") as made:
        folder = Path(made)
        copied(declared, declared.spec.inputs, folder / "inputs")
        (folder / "work").mkdir()
        reading, writing = os.pipe()
        channels = json.dumps([each.name for each in declared.spec.outlet.channels])
        command = [each.replace(INPUTS, str(folder / "inputs")) for each in declared.spec.command]
        process = subprocess.Popen(
            [sys.executable if command[0] == "python" else command[0], *command[1:]],
            cwd=folder / "work",
            env={**os.environ, **declared.spec.environment, OUTLET: f"{writing} {channels}"},
            pass_fds=(writing,),
        )
        os.close(writing)
        hearing = Hearing(reading, declared.spec.outlet.channels)
        try:
            while process.poll() is None:
                _tell(hearing, show)
                time.sleep(_LOOK_S)
            _tell(hearing, show)
            return process.returncode
        finally:
            process.kill()
            process.wait()
            hearing.close()


def _tell(hearing: Hearing, show: Callable[[str], None]) -> None:
    while (came := hearing.one()) is not None:
        show(f"{NOT_CONFINED}: {'invalid' if isinstance(came, Invalid) else f'{came.channel}, symbol {came.symbol}'}")
