"""Room for the states of a JAX loop: what lies on this process's own devices, and what these have free."""

from types import SimpleNamespace

import pytest

jax = pytest.importorskip("jax")

from darklantern.watch.attach import jax_loop  # noqa: E402


class Device:
    """An accelerator; one of another process does not say what it has."""

    platform = "gpu"

    def __init__(self, free: int, ours: bool = True) -> None:
        self.free, self.ours = free, ours

    def memory_stats(self) -> dict[str, int]:
        if not self.ours:
            raise RuntimeError("MemoryStats is only supported for addressable devices")
        return {"bytes_limit": 1000 + self.free, "bytes_in_use": 1000} if self.free else {}


class Leaf:
    def __init__(self, *devices: Device) -> None:
        self.sharding = SimpleNamespace(addressable_devices={device for device in devices if device.ours})
        self.devices = lambda: set(devices)


def room(monkeypatch: pytest.MonkeyPatch, *leaves: Leaf) -> int | None:
    made = jax_loop.JaxTap(None, list(leaves), None, list, None)
    with monkeypatch.context() as patch:
        patch.setattr(jax, "Array", Leaf)
        return made.room()


def test_room_is_that_of_the_devices_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, foreign = Device(30), Device(12), Device(500, ours=False)
    assert room(monkeypatch, Leaf(first, foreign), Leaf(first, second)) == 42
    assert room(monkeypatch, Leaf(first, Device(0))) is None, "one of them does not say"


def test_a_state_in_this_processs_memory_has_the_room_of_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax_loop, "free_bytes", lambda: 77)
    assert jax_loop.JaxTap(None, {"w": jax.numpy.ones(3)}, None, dict, None).room() == 77
