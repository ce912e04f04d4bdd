"""What a user meets first: the import, and the public names."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import darklantern as dl


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_loads_neither_torch_nor_jax_nor_numpy() -> None:
    loaded = python("import sys, darklantern; print(*({'torch', 'jax', 'numpy', 'cryptography'} & set(sys.modules)))")
    assert loaded == ""


def test_importing_the_command_line_loads_no_torch() -> None:
    assert python("import sys, darklantern.cli; print('torch' in sys.modules)") == "False"


def test_the_public_names_are_the_table_of_rooms() -> None:
    assert sorted(dl.__all__) == sorted([*dl._ROOMS, "__version__"])


@pytest.mark.parametrize("name", [name for name in dl.__all__ if name != "__version__"])
def test_every_public_name_resolves_and_is_documented(name: str) -> None:
    assert getattr(dl, name).__doc__


def test_a_room_and_its_function_share_a_name_whichever_is_imported_first() -> None:
    for first in ("import darklantern.watch", "dl.watch", "from darklantern.watch.trace import Trace"):
        code = f"import darklantern as dl; {first}; print(callable(dl.watch), callable(dl.assess), callable(dl.watch))"
        assert python(code) == "True True True"


ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SAID = re.compile(r"(?<!from )\b(?:dl|darklantern)\.watch\.[a-z]\w*")
IN_PAGES = {found for page in PAGES for found in SAID.findall(page.read_text())}


@pytest.mark.parametrize("said", sorted(IN_PAGES | {"darklantern.watch.screened"}))
def test_what_the_pages_say_of_the_watch_is_there_at_its_first_use(said: str) -> None:
    assert (
        python(f"import darklantern, darklantern as dl; print({said}.__name__.split('.')[-1])") == said.split(".")[-1]
    )


def test_an_imported_room_is_the_module() -> None:
    assert python("import darklantern.watch; print(darklantern.watch.screened.__name__)") == "screened"


def test_a_room_that_is_called_shows_what_is_in_it_and_takes_what_its_function_takes() -> None:
    code = (
        "import inspect, darklantern as dl; room = dl.watch; "
        "print({'collect', 'screened', 'since_start', 'defaults'} <= set(dir(room)), "
        "inspect.signature(room) == inspect.signature(room.watch))"
    )
    assert python(code) == "True True"


def test_an_unknown_name_is_an_attribute_error_that_lists_the_known_ones() -> None:
    with pytest.raises(AttributeError, match="trigger_circuit"):
        dl.circut  # noqa: B018


def test_without_torch_opening_a_model_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import darklantern as dl\n"
        "try: dl.open(object())\n"
        "except dl.DarkLanternError as e: print(type(e).__name__, e.hint)"
    )
    assert python(code).startswith('MissingExtraError pip install "darklantern[torch]"')
