"""A function in a Python file of the user's own, named on the command line: never one that came from a peer."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

from darklantern.errors import DarkLanternError, StoreError


def called(setup: str, wrong: type[DarkLanternError]) -> Any:
    """What the function of `FILE.py:FUNCTION` returns. Raises StoreError for no file, and `wrong` for what fails in it.

    The file may import what lies beside it.
    """
    name, colon, function = setup.rpartition(":")
    path = Path(name)
    if not colon or not function.isidentifier() or path.suffix != ".py":
        raise wrong(f"expected --setup FILE.py:FUNCTION, got {setup}", hint="for example --setup my_setup.py:make")
    if not path.is_file():
        raise StoreError(f"no file at {path}", hint="--setup names a Python file of yours and a function in it")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    sys.path.insert(0, str(path.parent.resolve()))
    # Bytecode is matched by size and second: what was saved twice within one would run as it was before.
    bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
        make = getattr(module, function, None)
        if not callable(make):
            raise wrong(f"{path} has no function {function}", hint="--setup names a Python file and a function in it")
        return make()
    except DarkLanternError:
        raise
    except Exception as error:
        raise wrong(f"{path} failed: {type(error).__name__}: {error}", hint=f"python {path} shows where") from error
    finally:
        sys.dont_write_bytecode = bytecode
        sys.path.pop(0)
