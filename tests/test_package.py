"""What a user meets first: the import, and the public names."""

import subprocess
import sys

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
