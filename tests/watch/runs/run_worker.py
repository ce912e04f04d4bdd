"""A training loop without training, as a process of its own: it beats, and heeds what is asked of it, or does not.

    python run_worker.py FOLDER HOW [GUARD]

HOW: `heeds` commands; `deaf`: beats and never looks for any; `hangs` after its first beat; `stubborn`: hangs with
SIGTERM ignored. GUARD is JSON for `Run.guard`.
It prints `ready` after its first beat, and what it does about each command.
"""

import json
import signal
import sys
import time
from pathlib import Path

from darklantern.watch.runs.files import Command
from darklantern.watch.runs.run import Run


def heed(run: Run, command: Command, step: int) -> bool:
    """Whether the loop goes on."""
    print(command.do, flush=True)
    if command.do == "pause":
        run.answer(command, step, "paused")
        return heed(run, run.paused(step, f"{command.user} asked", say=lambda text: print(text, flush=True)), step)
    if command.do == "go on" and command.pause is None:
        run.answer(command, step, "it is not paused", done=False)
    else:
        run.answer(
            command, step, {"stop": "stopped", "go on": "goes on", "roll back": "rolled back to step 0"}[command.do]
        )
    return command.do != "stop"


def main() -> None:
    folder, how, *guard = sys.argv[1:]
    with Run.open(Path(folder)) as run:
        if guard:
            run.guard(**json.loads(guard[0]))
        run.beat(1, alarm="induction at 7.1" if how == "heeds" else "")
        if how == "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a mask would hold for this thread alone, of several
        print("ready", flush=True)
        if how in ("hangs", "stubborn"):
            time.sleep(1000)
        step, going = 1, True
        while going:
            step += 1
            run.beat(step)
            for command in run.asked() if how == "heeds" else ():
                going = heed(run, command, step) and going
            time.sleep(0.005)
    print("over", flush=True)


if __name__ == "__main__":
    main()
