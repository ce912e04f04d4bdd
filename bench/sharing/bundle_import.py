"""Taking in a bundle, with all that is checked and stored, beside hashing the same file."""

import shutil
from pathlib import Path

from darklantern.assess import level_follows
from darklantern.library import Library
from sharing.founding import PASSPHRASE
from sharing.libraries import sharing
from sharing.measuring import Case, Line, Took, command, in_turns, line, middle, own, times_faster
from sharing.scratch import random_file, scratch
from sharing.sizes import Sizes

LEAST = 0.5


def lines(sizes: Sizes) -> list[Line]:
    """`bundle_import`."""
    with scratch(8 * sizes.bundle) as folder:
        made = sharing(folder / "orgs", random_file(folder / "artifact", sizes.bundle))
        beacon = folder / "orgs" / "beacon"
        bundle = folder / "bundle"
        made.aurora.bundles.export_to(bundle)
        made.close()
        cases = {
            "ours": _import(beacon, folder / "copy", bundle),
            "sha256sum": command("sha256sum", str(bundle)),
        }
        took = in_turns(cases, sizes.repeats)
        size = bundle.stat().st_size
    ratio, wall = times_faster(took["ours"], took["sha256sum"])
    rates = {name: round(size / 1e6 / middle(each).cpu) for name, each in took.items()}
    peer = ("sha256sum", "coreutils")
    detail = {"by_the_wall": wall, "megabytes_per_second": rates, "megabytes": round(size / 1e6)}
    return [line("bundle_import", ratio, "× sha256sum", f"≥ {LEAST}", ratio >= LEAST, peer, **detail)]


def _import(beacon: Path, copy: Path, bundle: Path) -> Case:
    """Into a library that has seen none of it, each time."""

    def case() -> Took:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(beacon, copy)
        with Library.open(copy, PASSPHRASE, follows=level_follows) as library:
            return own(lambda: _taken(library, bundle))()

    return case


def _taken(library: Library, bundle: Path) -> None:
    imported = library.bundles.import_from(bundle)
    if not imported.pieces or imported.missing:
        raise ValueError(f"expected every piece of the bundle, got {imported}")
