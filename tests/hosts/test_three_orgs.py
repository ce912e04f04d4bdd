"""x"""
import pytest
from pathlib import Path
from hosts.founding import found
from hosts.machines import can_make_machines
from hosts.offices import offices

def test_story(tmp_path: Path) -> None:
    with offices(tmp_path) as three:
        found(three, "palimpsest")
        for o in three:
            print(o.attempt("status").stdout)
        print(three[0].keeps("status"))
        print(three[0].report())
