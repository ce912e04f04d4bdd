"""The attacks on a run as a whole, 18 to 25: on its end, on its limits together, and on its outlet."""

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from darklantern.box import inside
from darklantern.box.attacks.trying import Tried, ground, here, start_printing, together
from darklantern.box.confine.bubblewrap import Kernel
from darklantern.box.ledger import read
from darklantern.box.outlet.pricing import MICRO
from darklantern.box.running.releasing import Released
from darklantern.box.running.starting import children
from darklantern.box.running.watchdog import Computed, beyond
from darklantern.box.runs import run
from darklantern.box.spec import read_spec
from darklantern.errors import BoxError

_SOON_S: Final = 10.0
_WALL: Final = {"host": "1s", "gvisor": "6s"}
"""of runs with two slots, in the first of which a program has begun"""
_DAEMON: Final = """
import os, signal, sys, time
for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(each, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True:
            with open(sys.argv[1], "w") as file:
                file.write(str(time.time_ns()))
            time.sleep(0.01)
    os._exit(0)
os.wait()
print("ready", flush=True)
time.sleep(60)
"""
_MEMORY: Final = """
import os, sys, time
for _ in range(8):
    if os.fork() == 0:
        block = b"x" * int(sys.argv[1])
        time.sleep(60)
        os._exit(0)
print("ready", flush=True)
time.sleep(3)
print("whole", flush=True)
time.sleep(60)
"""
_BEGIN: Final = """
import os, struct, sys, time
import inside
w = int(os.environ["DARKLANTERN_OUTLET"].split()[0])
"""
_INSIDE: Final = Path(inside.__file__).read_bytes()


def whole(kernel: Kernel) -> Iterator[Tried]:
    """Each attack on a run in turn. Raises BoxError where no box can be held at all."""
    for name in ATTEMPTS:
        yield attempted(name, kernel)


def attempted(name: str, kernel: Kernel) -> Tried:
    """One attack on a run."""
    outside, inside = ATTEMPTS[name](kernel)
    return Tried(
        list(ATTEMPTS).index(name) + 18, name, *("worked" if each else "refused" for each in (outside, inside))
    )


def _daemon(kernel: Kernel) -> tuple[bool, bool]:
    """A daemon that ignores SIGTERM, after a kill of what started it."""
    with ground(kernel) as at:
        beat = at.folder / "beat"
        bare = subprocess.Popen(
            [here(at), "-I", "-S", "-c", _DAEMON, str(beat)], stdout=subprocess.PIPE, start_new_session=True
        )
        assert bare.stdout is not None
        bare.stdout.readline()
        daemons = [pid for pid, command in _processes() if str(beat) in command and pid != bare.pid]
        bare.kill()
        bare.wait()
        outside = _beats(beat)
        for pid in daemons:
            os.kill(pid, signal.SIGKILL)
        bare.stdout.close()
        box, reading = start_printing(at.confined, [at.python, "-I", "-S", "-c", _DAEMON, "/box/work/beat"])
        os.read(reading, 100)
        inside_beats = _beats(at.work / "beat")
        box.kill()
        os.close(reading)
        return outside and inside_beats, _beats(at.work / "beat")


def _supervisor_killed(kernel: Kernel) -> tuple[bool, bool]:
    """What a supervisor started, after the supervisor was killed."""
    bare = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import subprocess, time; print(subprocess.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)",
        ],
        stdout=subprocess.PIPE,
    )
    left = _killed_and_named(bare)
    outside = _alive(left)
    os.kill(left, signal.SIGKILL)
    first = _left_by_a_supervisor(kernel)
    deadline = time.monotonic() + _SOON_S
    while _alive(first) and time.monotonic() < deadline:
        time.sleep(0.002)
    return outside, _alive(first)


def _memory_together(kernel: Kernel) -> tuple[bool, bool]:
    """More memory than the cap, by processes each of which has less."""
    with ground(kernel) as at:
        each = str(at.confined.allowed.memory // 4)
        bare = subprocess.Popen([here(at), "-I", "-S", "-c", _MEMORY, each], stdout=subprocess.PIPE)
        assert bare.stdout is not None
        outside = bare.stdout.readline() == b"ready\n" and bare.stdout.readline() == b"whole\n"
        for pid in reversed(children(bare.pid)):
            os.kill(pid, signal.SIGKILL)
        bare.communicate()
        box, reading = start_printing(at.confined, [at.python, "-I", "-S", "-c", _MEMORY, each])
        deadline = time.monotonic() + _SOON_S
        while (passed := beyond(box.first, None, together(at), Computed())) is None and time.monotonic() < deadline:
            time.sleep(0.02)
        box.kill()
        said = b""
        while more := os.read(reading, 100):
            said += more
        os.close(reading)
        return outside, passed != "memory" or b"whole" in said


def _send_times(kernel: Kernel) -> tuple[bool, bool]:
    """Bits in the time at which something is sent within a slot."""
    programs = [f"time.sleep({wait}); inside.send('bit', 1)" for wait in (0.02, 0.35)]
    outside = [_bare_time(wait) for wait in (0.02, 0.35)]
    inside = [_transcript(kernel, each + "; time.sleep(9)", slots=2, wall=_WALL[kernel]) for each in programs]
    return outside[1] - outside[0] > 0.1, inside[0] != inside[1]


def _not_a_symbol(kernel: Kernel) -> tuple[bool, bool]:
    """Bits in what is no symbol: NaN's own, infinities, channels that nobody declared."""
    send = "import os, struct; os.write({}, struct.pack('<IId', {}, 7, {}));"
    said = ((0, "float('nan')"), (0, "float('inf')"), (77, "1.0"), (0, "0.5"))
    outside = {_printed_bare(send.format(1, *each)) for each in said}
    inside = [
        _transcript(kernel, send.format("w", *each) + "time.sleep(9)", slots=2, wall=_WALL[kernel]) for each in said
    ]
    kinds = {tuple((each.what, each.channel, each.meaning) for each in steps) for steps in inside}
    return len(outside) == len(said), kinds != {
        (("invalid", None, None), ("silent", None, None), ("ended", None, None))
    }


def _beyond_the_budget(kernel: Kernel) -> tuple[bool, bool]:
    """More messages than the budget allows: the outlet closes, the box is destroyed, the charge is kept."""
    outside = len(_printed_bare("for _ in range(40): print(1)").split())
    with tempfile.TemporaryDirectory(dir="/var/tmp") as made:
        folder = Path(made)
        steps = _run(
            kernel, folder, "for _ in range(40): inside.send('bit', 1)\ntime.sleep(60)", slots=20, wall="4s", bits=12.0
        )
        _, balance = read(folder / "project")
        spent = sum(each.microbits for each in steps)
        closed = steps[-1].what == "closed" and spent == balance.settled <= 12 * MICRO and balance.reserved == 0
        try:
            again = len(_run(kernel, folder, "inside.send('bit', 1); time.sleep(60)", slots=20, wall="4s", bits=12.0))
        except BoxError:  # not even a first step can be paid
            again = 0
        return outside == 40, not (closed and again <= 2 and read(folder / "project")[1].settled <= 12 * MICRO)


def _flood(kernel: Kernel) -> tuple[bool, bool]:
    """Bits in what is printed, and in how much."""
    quiet, loud = "import time; ", "import time; [print('x' * 4096) for _ in range({})]; "
    outside = len({len(_printed_bare(each.format(9))) for each in (quiet, loud)})
    programs = [each.format(10**6) + "time.sleep(9)" for each in (quiet, loud)]
    with tempfile.TemporaryDirectory(dir="/var/tmp") as one, tempfile.TemporaryDirectory(dir="/var/tmp") as other:
        steps = [
            _run(kernel, Path(where), what, slots=2, wall=_WALL[kernel])
            for where, what in zip((one, other), programs, strict=True)
        ]
        sizes = [sorted((each.name, each.stat().st_size) for each in Path(where).glob("project/runs/*/log.age"))
                 for where in (one, other)]  # fmt: skip
        return outside == 2, steps[0] != steps[1] or sizes[0] != sizes[1]


def _exit_codes(kernel: Kernel) -> tuple[bool, bool]:
    """Bits in the code with which a program ends: 256 outside, one of four classes here."""
    codes = (0, 1, 2, 77, 255)
    outside = {
        subprocess.run([sys.executable, "-c", f"raise SystemExit({code})"], check=False).returncode for code in codes
    }
    seen = {_transcript(kernel, f"sys.exit({code})", slots=2, wall=_WALL[kernel]) for code in codes}
    return len(outside) == len(codes), len(seen) > 2


ATTEMPTS: Final[dict[str, Callable[[Kernel], tuple[bool, bool]]]] = {
    "daemon": _daemon,
    "supervisor killed": _supervisor_killed,
    "memory together": _memory_together,
    "send times": _send_times,
    "not a symbol": _not_a_symbol,
    "beyond the budget": _beyond_the_budget,
    "flood": _flood,
    "exit codes": _exit_codes,
}


def _run(
    kernel: Kernel, folder: Path, program: str, *, slots: int, wall: str, bits: float = 500.0
) -> tuple[Released, ...]:
    """A whole run of a few lines: what an observer saw of it."""
    (folder / "program.py").write_text(_BEGIN + program)
    (folder / "inside.py").write_bytes(_INSIDE)
    (folder / "box.toml").write_text(
        textwrap.dedent(f"""
            kernel = "{kernel}"
            command = ["python", "/box/inputs/program.py"]
            inputs = {{"program.py" = "program.py", "inside.py" = "inside.py"}}
            project = {{folder = "project", bits = {bits}}}
            limits = {{wall = "{wall}", memory = "1GiB"}}
            [outlet]
            mode = "slots"
            slots = {slots}
            [[outlet.channels]]
            name = "bit"
            words = ["no", "yes"]
        """)
    )
    seen: list[Released] = []
    run(read_spec(folder / "box.toml"), seen.append)
    return tuple(seen)


def _transcript(kernel: Kernel, program: str, **given: Any) -> tuple[Released, ...]:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        return _run(kernel, Path(folder), program, **given)


def _printed_bare(program: str) -> bytes:
    """All that a program prints outside a box."""
    return subprocess.run([sys.executable, "-I", "-S", "-c", program], stdout=subprocess.PIPE, check=True).stdout


def _bare_time(wait: float) -> float:
    """When a program outside a box is heard that waits first."""
    began = time.monotonic()
    bare = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", f"import time; time.sleep({wait}); print(1, flush=True)"],
        stdout=subprocess.PIPE,
    )
    assert bare.stdout is not None
    bare.stdout.readline()
    heard = time.monotonic() - began
    bare.communicate()
    return heard


def _beats(path: Path) -> bool:
    """Whether somebody still writes to a file."""
    deadline = time.monotonic() + 1.0
    before = path.read_text() if path.exists() else ""
    while time.monotonic() < deadline:
        time.sleep(0.02)
        if (path.read_text() if path.exists() else "") != before:
            return True
    return False


def _processes() -> list[tuple[int, str]]:
    """(pid, command line) of all that can be seen."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile
            found.append((int(each.name), (each / "cmdline").read_text()))
    return found


def _left_by_a_supervisor(kernel: Kernel) -> int:
    """The first process of a box whose supervisor was killed."""
    reading, writing = os.pipe()
    supervisor = os.fork()
    if supervisor == 0:
        try:
            with ground(kernel) as at:
                box, _ = start_printing(at.confined, ["sleep", "60"])
                os.write(writing, b"%d" % box.first)
                time.sleep(60)
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        first = int(os.read(told.fileno(), 32))
    os.kill(supervisor, signal.SIGKILL)
    os.waitpid(supervisor, 0)
    return first


def _killed_and_named(process: "subprocess.Popen[bytes]") -> int:
    """The pid that a process names, once that process was killed."""
    assert process.stdout is not None
    named = int(process.stdout.readline())
    process.kill()
    process.wait()
    process.stdout.close()
    return named


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
