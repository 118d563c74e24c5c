"""Text that can be sent on: any exporter encodes as UTF-8, and one lone surrogate would cost it a whole batch."""

from __future__ import annotations


def sound(text: str) -> str:
    """Return text that can be encoded, with `?` for each lone surrogate."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
