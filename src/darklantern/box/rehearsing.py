"""A program without a box, to find its faults: nothing holds it, nothing is metered, everything is shown."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from darklantern.box.confine.bubblewrap import INPUTS
from darklantern.box.folders import copied
from darklantern.box.inside import OUTLET, TELEMETRY
from darklantern.box.outlet.symbols import Invalid
from darklantern.box.running.hearing import Hearing
from darklantern.box.spec import Declared
from darklantern.errors import BoxError

NOT_CONFINED = "NOT CONFINED"
_LOOK_S = 0.05
_STDERR = 2


def rehearse(declared: Declared, show: Callable[[str], None]) -> int:
    """Run the command as oneself, with copies of its inputs; each message is told as it comes. Its exit code.

    For a program that its author wrote and trusts. A path that begins with /box/inputs leads to the copies. A
    tripwire's monitor is run beside it, and what it would have done is told at the end.
    """
    spec = declared.spec
    with tempfile.TemporaryDirectory(prefix="darklantern-rehearsal-") as made:
        said, say = os.pipe()
        hearing = Hearing(said, spec.outlet.channels)
        names = json.dumps([each.name for each in spec.outlet.channels])
        environment, hand = {**spec.environment, OUTLET: f"{say} {names}"}, [say]
        program = monitor = None
        try:
            if spec.tripwire is not None:
                telemetry, tell = os.pipe()
                environment[TELEMETRY], hand = str(tell), [say, tell]
                copies = _copies(declared, spec.tripwire.inputs, Path(made) / "monitor")
                monitor = _started(spec.tripwire.command, copies, {TELEMETRY: str(telemetry)}, [telemetry])
            program = _started(spec.command, _copies(declared, spec.inputs, Path(made) / "program"), environment, hand)
            deadline, said = time.monotonic() + declared.wall_s, 0
            while program.poll() is None and time.monotonic() < deadline:
                said += _told(declared, hearing, show)
                time.sleep(_LOOK_S)
            said += _told(declared, hearing, show)
            if program.poll() is None:
                program.kill()
                show(f"{NOT_CONFINED}: it would have been ended at its deadline, after {spec.limits.wall}")
            room = (
                f"{spec.outlet.slots} slots show one each"
                if spec.outlet.mode != "final"
                else "the last of each channel"
            )
            show(f"{NOT_CONFINED}: {said} messages, of which {room}")
            program.wait()
            if monitor is not None:
                trips = (
                    "does not trip" if monitor.wait() == 0 else f"trips: its monitor ended with {monitor.returncode}"
                )
                show(f"{NOT_CONFINED}: the tripwire {trips}")
            return program.returncode
        finally:
            for each in (program, monitor):
                if each is not None:
                    each.kill()
                    each.wait()
            hearing.close()


def _copies(declared: Declared, inputs: Mapping[str, str], folder: Path) -> Path:
    """A folder with copies of inputs, and one to work in."""
    (folder / "work").mkdir(parents=True)
    copied(declared, inputs, folder / "inputs")
    return folder


def _started(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], hand: Sequence[int]
) -> "subprocess.Popen[bytes]":
    """A program with the descriptors that it alone keeps from here on. Raises BoxError where there is none."""
    words = [each.replace(INPUTS, str(folder / "inputs")) for each in command]
    try:
        return subprocess.Popen(
            [sys.executable if words[0] == "python" else words[0], *words[1:]],
            cwd=folder / "work",
            env={**os.environ, **environment},
            stdout=_STDERR,  # what is told of it is apart from what it prints
            pass_fds=hand,
        )
    except OSError as error:
        raise BoxError(
            f"{words[0]} does not start: {error}", hint="`python`, a program on the path, or one of the inputs"
        ) from error
    finally:
        for each in hand:
            os.close(each)


def _told(declared: Declared, hearing: Hearing, show: Callable[[str], None]) -> int:
    """How many messages had come; each is shown."""
    count = 0
    channels = {each.name: each for each in declared.spec.outlet.channels}
    while (came := hearing.one()) is not None:
        told = (
            "invalid" if isinstance(came, Invalid) else f"{came.channel}: {channels[came.channel].meaning(came.symbol)}"
        )
        show(f"{NOT_CONFINED}: {told}")
        count += 1
    return count
