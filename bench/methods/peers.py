"""Which workers there are, and what each one's environment holds. Standard library only."""

from environments import Environment
from models import peers as of_models
from models.peers import Peer


def _peer(name: str, module: str, pin: str, beside: tuple[str, ...] = ()) -> Peer:
    return Peer(name, f"methods.{module}", Environment(name, pin, f"methods-{name}", beside=beside))


OURS = Peer("darklantern", "methods.ours")
CAPTUM = Peer("captum", "methods.captum_worker", next(p.environment for p in of_models.PEERS if p.name == "captum"))
CIRCUIT_TRACER = _peer("circuit-tracer", "circuit_tracer_worker", "circuit-tracer==0.5.0")
CIRCUITKIT = _peer("circuitkit", "circuitkit_worker", "circuitkit==0.2.0")  # which pins transformer-lens 3.8.0
TUNED_LENS = _peer("tuned-lens", "tuned_lens_worker", "tuned-lens==0.2.0")
SCIKIT_LEARN = _peer("scikit-learn", "sklearn_worker", "scikit-learn==1.9.1")
CONCEPT_ERASURE = _peer("concept-erasure", "erasure_worker", "concept-erasure==0.2.4")
PEERS = (CAPTUM, CIRCUIT_TRACER, CIRCUITKIT, TUNED_LENS, SCIKIT_LEARN, CONCEPT_ERASURE)
WORKERS = (OURS, *PEERS)
