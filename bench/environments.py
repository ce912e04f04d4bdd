"""Environments of peers, in `.bench`: what each holds, how it is made, why one is not there.

Their pins conflict with each other's and with the product's, so each peer has an environment of its own. Standard
library only: `make bench-env` runs before anything is installed.
"""

import os
import subprocess
import tomllib
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TORCH = "torch==2.13.0"


@dataclass(frozen=True)
class Environment:
    """What a peer's environment holds."""

    name: str
    """the peer's, by which `make bench-env PEER=` asks for it"""
    pin: str
    folder: str
    first: tuple[str, ...] = (TORCH, "numpy")
    """installed before all else, in the product's versions; the pin of torch holds for all that comes later too, as a
    peer's own dependency an open range would bring another torch"""
    beside: tuple[str, ...] = ()
    """installed with the peer"""
    product: bool = False
    """whether the product's own dependencies are there too, so that the peer's process can run its organisms"""


def environments() -> Path:
    """`.bench`, or where BENCH_ENVS says that ready-made environments are."""
    return Path(os.environ.get("BENCH_ENVS", ROOT / ".bench"))


def python(environment: Environment) -> Path:
    """The interpreter of an environment."""
    return environments() / environment.folder / "bin" / "python"


def why_absent(environment: Environment) -> str | None:
    """None where the environment is there; otherwise the reason that goes into the results."""
    if python(environment).exists() and not failure(environment).exists():
        return None
    said = failure(environment)
    return said.read_text().strip() if said.exists() else "not installed; run `make bench-env`"


def failure(environment: Environment) -> Path:
    """Where a failed installation leaves its reason."""
    return environments() / f"{environment.folder}.failed"


def make(environment: Environment) -> None:
    """Install an environment unless its stamp says that just this was installed.

    A peer that cannot be installed leaves its reason for the results; it is no error here.
    """
    folder = environments() / environment.folder
    first = (*environment.first, *(_dependencies() if environment.product else ()))
    later = (environment.pin, *environment.beside)
    stamp, holds = folder / "installed.txt", "\n".join((*first, *later))
    if stamp.exists() and stamp.read_text() == holds:
        print(f"{environment.name}: there already")
        return
    print(f"{environment.name}: installing into {folder.name}", flush=True)
    failure(environment).unlink(missing_ok=True)
    try:
        venv.create(folder, with_pip=True, clear=True)
        pins = folder / "constraints.txt"
        pins.write_text(TORCH + "\n")
        product = str(ROOT / "constraints.txt")
        _pip(environment, "-c", product, *environment.first)
        if environment.product:
            _pip(environment, "-c", product, *first)
        _pip(environment, "-c", str(pins), *later)
        stamp.write_text(holds)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = _said(error)
        failure(environment).write_text(f"could not be installed: {reason}\n")
        print(f"{environment.name}: {reason}")


def _dependencies() -> tuple[str, ...]:
    """The product's, and scikit-learn, whose digits an organism reads."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return (*project["dependencies"], "scikit-learn")


def _pip(environment: Environment, *arguments: str) -> None:
    command = [str(python(environment)), "-m", "pip", "--disable-pip-version-check", "--quiet", "install", *arguments]
    subprocess.run(command, check=True, stderr=subprocess.PIPE, text=True)


def _said(error: OSError | subprocess.CalledProcessError) -> str:
    if isinstance(error, OSError):
        return str(error)
    said = (error.stderr or "").strip().splitlines()
    return next((line for line in said if line.startswith("ERROR")), said[-1] if said else "pip failed")
