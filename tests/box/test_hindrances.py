"""What keeps a machine from making boxes is named, with what to change."""

from pathlib import Path

import pytest

from darklantern.box.confine.hindrances import hint


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("user/max_user_namespaces", "0", "user.max_user_namespaces=15000"),
        ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "AppArmor"),
    ],
)
def test_a_setting_that_stands_in_the_way_is_named(tmp_path: Path, name: str, value: str, says: str) -> None:
    assert "container" in hint(tmp_path)
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text(f"{value}\n")
    assert says in hint(tmp_path)
    (tmp_path / name).write_text("7\n")
    assert "container" in hint(tmp_path)
