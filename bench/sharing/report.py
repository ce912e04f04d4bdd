"""The lines as a page for people: docs/results/sharing.md."""

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path

import cryptography

from sharing.measuring import Line
from sharing.sizes import GIB, MIB, Sizes

PAGE = Path(__file__).parent.parent.parent / "docs" / "results" / "sharing.md"


def write(found: Sequence[Line], sizes: Sizes) -> None:
    """Write the page."""
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(found, sizes))


def page(found: Sequence[Line], sizes: Sizes) -> str:
    """The whole page."""
    details = [f"- {line['name']}: `{json.dumps(line['detail'], ensure_ascii=False)}`" for line in found]
    return "\n".join([*_head(sizes), "", *_table(found), "", "## Details", "", *details, ""])


def _head(sizes: Sizes) -> list[str]:
    artifacts = ", ".join(f"{each / GIB:.1f}" for each in sizes.artifacts)
    return [
        "# Sharing, beside its peers",
        "",
        f"Made by `make bench ROOM=sharing`. {_machine()}; cryptography {cryptography.__version__}.",
        "",
        f"Streams of {sizes.stream // MIB} MiB and a bundle of {sizes.bundle // MIB} MiB, in memory (tmpfs). Medians "
        f"of {sizes.repeats} turns, ours and theirs one after the other, in processor time, user and system, because "
        "the machine had other work; the wall's ratio is under Details. `seal_artifact` is the library's whole way: "
        "SHA-256, BLAKE3, the journal's marks and the store; it has no bar. Of a sync both ends are counted.",
        "",
        f"Artifacts of {artifacts} GiB are zeros from a sparse file. Their pieces are thrown away when they are "
        "sealed, and made again when they are read: the disk does not hold them twice.",
    ]


def _table(found: Sequence[Line]) -> list[str]:
    rows = ["| line | value | unit | bar | beside | |", "|---|---|---|---|---|---|"]
    for line in found:
        beside = " ".join(filter(None, (line["peer"], line["peer_version"]))) or "–"
        verdict = {True: "ok", False: "**missed**", None: ""}[line["ok"]]
        rows.append(f"| {line['name']} | {line['value']} | {line['unit']} | {line['bar']} | {beside} | {verdict} |")
    return rows


def _machine() -> str:
    model = next(
        (text.split(":")[1].strip() for text in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in text),
        platform.machine(),
    )
    return f"{os.cpu_count()} cores of {model}, Python {platform.python_version()}"
