"""Pictures of what a compression keeps, drops and merges.

``geometry`` says which pixels a token covers, ``decisions`` reads what callers pass, ``panels`` draws one
panel and ``sheet`` puts panels together. Pillow does the drawing; nothing else is needed.
"""

from apet.pictures.geometry import TokenGrid, View
from apet.pictures.plot import plot

__all__ = ["TokenGrid", "View", "plot"]
