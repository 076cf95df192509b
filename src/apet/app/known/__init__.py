"""True shapes of well-known models: planned by name, and built with random weights to be timed."""

from apet.app.known.build import build, inputs
from apet.app.known.models import KNOWN, configuration_of, tiny

__all__ = ["KNOWN", "build", "configuration_of", "inputs", "tiny"]
