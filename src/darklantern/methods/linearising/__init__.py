"""A model whose gradients treat some of its nonlinearities as constant: what attribution methods have in common."""

from darklantern.methods.linearising.freezing import linearise

__all__ = ["linearise"]
