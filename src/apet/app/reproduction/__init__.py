"""``apet reproduce``: a published table, the exact runs that come closest to it, and what they give here."""

from apet.app.reproduction.command import reproduce

__all__ = ["reproduce"]
