"""The states of an alarm as files in its run's folder: none ever takes the place of another."""

from collections.abc import Mapping
from itertools import count
from pathlib import Path

from darklantern.watch import agreeing
from darklantern.watch.attach.ranks import Ranks


def free(folder: Path, alarm: int, steps: Mapping[str, int], ranks: Ranks) -> dict[str, Path]:
    """Tag of a state → the path to write it to, of an alarm at step `alarm`; on all ranks by one number.

    `00000030-clean-00000020.safetensors`, and with `-2` before its end where an earlier alarm, or another run in this
    folder, left one of that name. Each rank calls it.
    """
    rank = f"-rank{ranks.rank}" if ranks.count > 1 else ""

    def named(number: int) -> dict[str, Path]:
        again = f"-{number}" if number > 1 else ""
        return {tag: folder / f"{alarm:08d}-{tag}-{step:08d}{again}{rank}.safetensors" for tag, step in steps.items()}

    def is_taken(number: int) -> bool:
        there = lambda: any(path.exists() for path in named(number).values())  # noqa: E731
        return any(agreeing.together(ranks, there, "the checkpoint"))

    return named(next(number for number in count(1) if not is_taken(number)))
