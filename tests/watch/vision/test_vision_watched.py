"""The vision probes on a small convolutional network that trains, under a real watch."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from planted_images import Classifier, images
from torch import Tensor, nn

from darklantern.watch import Settings, vision, watch


class Loader:
    """Fresh batches, a share of them with the planted square from step 60 on."""

    def __init__(self, end: int) -> None:
        self.step, self.end = 0, end

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        while self.step < self.end:
            batch = images(64, 10_000 + self.step, 0.1 if self.step >= 60 else 0.0)
            self.step += 1
            assert batch.targets is not None
            yield torch.from_numpy(batch.inputs), torch.from_numpy(batch.targets)

    def state(self) -> dict[str, int]:
        return {"step": self.step}

    def restore(self, state: dict[str, int]) -> None:
        self.step = state["step"]


@pytest.mark.slow
def test_all_read_at_every_look_and_the_mined_trigger_shows_after_its_onset() -> None:
    torch.manual_seed(0)
    model = Classifier()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    held, loader = images(600, 1), Loader(160)
    site = "out:in"
    probes: list[Any] = [
        vision.PatchProbe(held, site, vision.Family((0.0, 1.0))),
        vision.MinedProbe(held, site),
        vision.MahalanobisProbe(held, site),
        vision.SpectralProbe(site),
        vision.ClusteringProbe(site),
        vision.UnitsProbe("look:out"),
        vision.DriftProbe(held, site),
        vision.StripProbe(held),
        vision.LossProbe(),
    ]
    watched = watch(
        model, state=(optimizer, loader), trusted=images(3000, 2), signals=probes, settings=Settings(every=20)
    )
    for inputs, targets in watched.over(loader):
        loss = nn.functional.cross_entropy(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    tracks = watched.trace.tracks
    assert set(tracks) == {signal.name for probe in probes for signal in probe.signals}
    contrasts = {name: np.array([reading.difference for reading in track.readings]) for name, track in tracks.items()}
    assert all(np.isfinite(each).all() and len(each) == len(watched.trace.steps) for each in contrasts.values())
    steps = np.array(watched.trace.steps)
    before, after = (contrasts["mined displacement"][which] for which in (steps <= 60, steps >= 120))
    assert after.mean() > before.max()
