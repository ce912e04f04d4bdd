"""Look inside a neural network while it trains, react to dangerous circuits, share what you find, sealed."""

__version__ = "0.1.0"
