"""One's own training script, run once for each seed, as reference runs.

In: a command with `{seed}` in it, seeds, a folder. Out: a folder for each run, in which the script's watch wrote its
looks. What decides where is the environment: the script itself stays as it is, and its watch knows by these two
variables that it is a reference. Then alarms are only logged, and no references are needed.

One at a time makes runs in a folder. It holds a lock there, as does each script that it started: where it is killed,
and a script lives on, the next one is refused, and deletes nothing that is still written to.
"""

import errno
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from darklantern.errors import StoreError, WatchError
from darklantern.files import cannot_write, read_plain, write_whole
from darklantern.locks import take_lock
from darklantern.watch.collecting import check_pair
from darklantern.watch.recording import LOOKS, recorded
from darklantern.watch.runs.ending import tied
from darklantern.watch.runs.folders import check_over

FOLDER: Final = "DARKLANTERN_REFERENCE_RUN"
SEED: Final = "DARKLANTERN_REFERENCE_SEED"
OUTPUT: Final = "output.txt"
FINISHED: Final = "finished.json"
LOCK: Final = "calibrate.lock"
_LEFT_S: Final = 3.0
"""for the scripts of one that was killed to end"""
_MARK: Final = 1 << 20
"""bytes of it that are read"""
_LAST: Final = 2000
"""characters of a failed run's output that are told"""
_LARGEST: Final = 2**63 - 1
_MOST: Final = 100_000
_SHOWN: Final = 200
_POLL_S: Final = 0.1
_GRACE_S: Final = 5.0


@dataclass(frozen=True)
class ReferenceRun:
    """What a watch is told that is a reference."""

    folder: Path
    seed: int


def asked_for() -> ReferenceRun | None:
    """Whether this process was started as a reference run. Raises WatchError for half of it."""
    folder, seed = os.environ.get(FOLDER), os.environ.get(SEED)
    if folder is None and seed is None:
        return None
    if not folder or seed is None or not seed.lstrip("-").isdecimal():
        raise WatchError(
            f"expected a folder in {FOLDER} and a number in {SEED}, got {folder!r} and {seed!r}",
            hint="`darklantern watch calibrate --run` sets both; else set neither",
        )
    return ReferenceRun(Path(folder), int(seed))


def parse_seeds(text: str) -> tuple[int, ...]:
    """The seeds in "1000-1049" or "1,2,5-9". Raises WatchError."""
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch("([0-9]{1,19})(?:-([0-9]{1,19}))?", part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
        if last < first or last > _LARGEST:
            raise WatchError(
                f"expected seeds such as 1000-1049 or 1,2,5-9, got {text[:_SHOWN]!r}",
                hint=f"none is below 0 or above {_LARGEST}, the largest that torch and jax both take",
            )
        if len(found) + last - first >= _MOST:
            raise WatchError(f"{text[:_SHOWN]!r} names more than {_MOST:,} seeds", hint="some fifty runs do")
        found += range(first, last + 1)
    return tuple(dict.fromkeys(found))


def repeat(
    command: str, seeds: Sequence[int], folder: Path, workers: int, progress: Callable[[int, int], None]
) -> list[Path]:
    """Run `command` for each of `seeds`, `workers` at once, each in `folder`/SEED; those folders.

    `{seed}` in it stands for the seed, `{run}` for the folder. A run that was finished by the same command, with the
    same files named in it, is not run again. Stopped by Ctrl-C, what runs is ended, and what is finished stays; on
    Linux a run ends too where this process is killed.
    Raises WatchError for a run that fails, with the end of what it said, or that is unlike the first, and ends the
    others, and for a folder in which a run goes on; StoreError, also where another process makes runs in `folder`.
    """
    words = _words(command)
    lock = _lock(folder)
    try:
        return _repeat(command, words, seeds, folder, workers, progress, lock)
    finally:
        os.close(lock)


def _lock(folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    path = folder / LOCK

    def held(holder: str) -> StoreError:
        return StoreError(
            f"reference runs are being made in {folder} by {holder}, or by a run that it started and that goes on",
            hint=f"wait for it, name another folder with --runs, or end it: `fuser {shlex.quote(str(path))}` says "
            "which processes are left",
        )

    return take_lock(path, held, _LEFT_S)


def _repeat(
    command: str,
    words: Sequence[str],
    seeds: Sequence[int],
    folder: Path,
    workers: int,
    progress: Callable[[int, int], None],
    lock: int,
) -> list[Path]:
    mark = {"command": command, "files": _files(words)}
    folders = {seed: folder / str(seed) for seed in seeds}
    left = [seed for seed in seeds if not _is_finished(folders[seed], mark)]
    done = len(seeds) - len(left)
    progress(done, len(seeds))
    first = next((recorded(folders[seed]) for seed in seeds if seed not in left), None)
    running: dict[int, subprocess.Popen[bytes]] = {}
    try:
        while left or running:
            while left and len(running) < workers:
                seed = left.pop(0)
                running[seed] = _started(words, seed, folders[seed], lock)
            for seed in [seed for seed, process in running.items() if process.poll() is not None]:
                process = running.pop(seed)
                _check_finished(process.returncode, seed, folders[seed])
                write_whole(folders[seed] / FINISHED, json.dumps(mark).encode())
                first = first or recorded(folders[seed])
                if first.folder != folders[seed]:
                    check_pair(first, recorded(folders[seed]))  # now, and not after the last
                done += 1
                progress(done, len(seeds))
            time.sleep(_POLL_S if running else 0)
    finally:
        _end(running.values())
    return list(folders.values())


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise WatchError(f"cannot read the command {command!r}: {error}", hint="quote it as in a shell") from error
    if not any("{seed}" in word for word in words):
        raise WatchError(
            f"the command {command!r} has no {{seed}} in it, so all runs would be the same",
            hint='--run "python train.py --seed {seed}"',
        )
    return words


def _files(words: Iterable[str]) -> dict[str, str]:
    """Hashes of the files that a command names, such as the script: when one changes, its runs are run again.

    Also within a word, as in `--config=small.yaml` and `sh -c "python train.py --seed {seed}"`. Raises StoreError.
    """
    named = dict.fromkeys(part for word in words for part in (word, *re.split(r"[=\s;&|<>()'\"]+", word)))
    return {str(Path(name)): _hash(Path(name)) for name in named if "{" not in name and _is_file(name)}


def _is_file(name: str) -> bool:
    try:
        return bool(name) and Path(name).is_file()
    except OSError:  # a text too long for a name, for one
        return False


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StoreError(
            f"cannot read {path}, which the command names: {error.strerror}", hint="may you read that file?"
        ) from error


def _is_finished(folder: Path, mark: Mapping[str, Any]) -> bool:
    try:
        return bool(json.loads(read_plain(folder / FINISHED, _MARK)) == mark)
    except (OSError, ValueError, RecursionError):
        return False


def _started(words: Sequence[str], seed: int, folder: Path, lock: int) -> "subprocess.Popen[bytes]":
    named = [word.replace("{seed}", str(seed)).replace("{run}", str(folder)) for word in words]
    try:
        if shutil.which(named[0]) is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_over(folder)  # one that somebody started by hand
        for name in (LOOKS, FINISHED):  # of a run that was stopped, or of another command
            (folder / name).unlink(missing_ok=True)
        with (folder / OUTPUT).open("wb") as output:
            # In a session of its own: Ctrl-C comes to us, and we end it.
            return subprocess.Popen(
                tied(named),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | {FOLDER: str(folder.absolute()), SEED: str(seed)},
                start_new_session=True,
                pass_fds=(lock,),
            )
    except OSError as error:
        raise StoreError(
            f"cannot start {named[0]!r} for seed {seed}: {error.strerror or error}",
            hint="is it on the PATH, and the folder yours?",
        ) from error


def _check_finished(status: int, seed: int, folder: Path) -> None:
    if status:
        said = (folder / OUTPUT).read_bytes().decode(errors="replace").strip()[-_LAST:]
        raise WatchError(
            f"the run of seed {seed} ended with status {status}:\n{said}", hint=f"all that it said: {folder / OUTPUT}"
        )
    if not (folder / LOOKS).exists():
        raise WatchError(
            f"the run of seed {seed} ended without a look of a watch",
            hint="its script makes a darklantern.watch(...), and trains for longer than `every` steps",
        )
    recorded(folder)


def _end(processes: Iterable["subprocess.Popen[bytes]"]) -> None:
    """End what still runs, with what it started: SIGTERM, and after a grace SIGKILL."""
    held = list(processes)
    for process in held:
        _signal(process, signal.SIGTERM)
    until = time.monotonic() + _GRACE_S
    for process in held:
        try:
            process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            _signal(process, signal.SIGKILL)
            process.wait()


def _signal(process: "subprocess.Popen[bytes]", number: int) -> None:
    if process.poll() is None:
        os.killpg(process.pid, number)
