"""How much of the gradient arrives? The helper package of the course."""

__version__ = "0.1.0"
