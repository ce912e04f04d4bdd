"""Fuzz under atheris, guided by what each input reaches: `make fuzz SECONDS=600`, `make fuzz TARGET=envelope`.

In: seconds in all, shared out over the targets and this machine's cores. Out: a line for each target, and an exit
status of 1 when one crashed; the input that did it is then under `.fuzz/crashes`: give it a name in `found/`. What was
reached is kept in `.fuzz/corpus` and is where the next run begins, with seeds that our writers make anew.

Each target runs in a process of its own, whose memory is limited; atheris ends it at a crash.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

HOME = Path(".fuzz")
MEMORY_MIB = 768
"""of the whole process, of which the packages themselves take 250"""
SLOWEST_S = 10
_REACHED = re.compile(r"cov: (\d+)")
_RUNS = re.compile(r"stat::number_of_executed_units: (\d+)")


def main() -> int:
    """Parse, share out, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=120, help="in all, but for what starting takes")
    parser.add_argument("--target", default="", help="one target alone")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        fuzz(asked.target, asked.seconds)
    from fuzz.targets import TARGETS

    names = [asked.target] if asked.target else list(TARGETS)
    cores = min(os.cpu_count() or 1, len(names))
    each = max(1, asked.seconds * cores // len(names))
    with ThreadPoolExecutor(cores) as pool:
        return max(pool.map(lambda name: report(name, each), names))


def report(name: str, seconds: int) -> int:
    """Fuzz one target in a process of its own; print what came of it. 1 for a crash."""
    command = [sys.executable, "-m", "fuzz.run", "--child", "--target", name, "--seconds", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    said = done.stderr + done.stdout
    runs, reached = _RUNS.findall(said) or ["?"], _REACHED.findall(said) or ["?"]
    print(
        f"{name:16} {runs[-1]:>9} runs  {reached[-1]:>5} places  {'ok' if not done.returncode else 'CRASH'}", flush=True
    )
    if done.returncode:
        print(said[-6000:], flush=True)
    return int(done.returncode != 0)


def fuzz(name: str, seconds: int) -> None:
    """Fuzz one target until the time is over, or it crashes. Ends the process."""
    import atheris

    with atheris.instrument_imports(include=["darklantern"]):
        from fuzz.targets import TARGETS, accepts
    from fuzz.mutations import mutated

    target = TARGETS[name]
    corpus, crashes = HOME / "corpus" / name, HOME / "crashes" / name
    for folder in (corpus, crashes):
        folder.mkdir(parents=True, exist_ok=True)
    seeds = target.seeds()
    for seed in seeds:
        (corpus / hashlib.sha256(seed).hexdigest()).write_bytes(seed)

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        # Atheris learns which bytes are compared; `mutated` knows JSON. Whole records are decoded in C, where neither
        # sees a path, and short refused inputs would crowd them out: so every third input comes from a seed.
        random = Random(seed)
        way = random.randrange(3)
        if way == 0:
            return atheris.Mutate(data, most)[:most]
        return mutated(data if way == 1 else random.choice(seeds), random)[:most]

    options = {
        "max_total_time": seconds,
        "max_len": target.limit,
        "rss_limit_mb": MEMORY_MIB,
        "timeout": SLOWEST_S,
        "artifact_prefix": f"{crashes}/",
        "print_final_stats": 1,
    }
    arguments = [sys.argv[0], str(corpus), *(f"-{option}={value}" for option, value in options.items())]
    atheris.Setup(arguments, lambda data: accepts(target, data) and None, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
