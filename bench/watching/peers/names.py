"""Which peers there are and what each one's environment holds. Standard library only."""

from dataclasses import dataclass
from typing import Literal

from environments import Environment


@dataclass(frozen=True)
class Peer:
    """A peer, its environment, and the module that speaks for it there."""

    name: str
    module: str
    environment: Environment
    kind: Literal["loop", "detector"] = "loop"
    """attached to the training loop, or a detector on the signals that our watch wrote down"""
    experiments: tuple[str, ...] = ("E1", "E2", "E3", "E4", "E5")
    alarm: bool = False
    """whether it raises alarms of its own"""

    @property
    def version(self) -> str:
        """As pinned."""
        return self.environment.pin.split("==")[1]


def _on_loop(
    name: str, module: str, pin: str, experiments: tuple[str, ...] = Peer.experiments, alarm: bool = False
) -> Peer:
    made = Environment(name, pin, f"watch-{name}", product=True)
    return Peer(name, f"watching.peers.{module}", made, "loop", experiments, alarm)


def _on_streams(name: str, module: str, pin: str) -> Peer:
    made = Environment(name, pin, f"watch-{name}", ("numpy",))
    return Peer(name, f"watching.peers.{module}", made, "detector", alarm=True)


WANDB = _on_loop("wandb", "wandb_watch", "wandb==0.31.0")
TENSORBOARD = _on_loop("tensorboard", "tensorboard_histograms", "tensorboard==2.21.0")
LIGHTNING = _on_loop("lightning", "lightning_spikes", "lightning==2.6.6", alarm=True)
TRAINSCOPE = _on_loop("trainscope", "trainscope_scope", "trainscope==1.8.1", alarm=True)
DEVINTERP = _on_loop("devinterp", "devinterp_llc", "devinterp==2.0.1", ("E1", "E4"))
"""causal language models only, by its own word"""
RIVER = _on_streams("river", "river_detectors", "river==0.26.1")
RUPTURES = _on_streams("ruptures", "ruptures_pelt", "ruptures==1.1.10")
PEERS = (WANDB, TENSORBOARD, LIGHTNING, TRAINSCOPE, DEVINTERP, RIVER, RUPTURES)
