"""Text that is safe in a page, whoever wrote it."""

from __future__ import annotations

from html import escape
from typing import Final

LONGEST: Final = 120
"""Characters of a name that are shown; models and tags are typed by users, and can be of any length."""
_VOID: Final = frozenset({"br", "input", "link", "meta"})
_REPLACED: Final = "\N{REPLACEMENT CHARACTER}"


class Markup(str):
    """HTML, escaped already."""

    __slots__ = ()


def shown(value: object, *, longest: int = LONGEST) -> str:
    """Return what people see of a value: on one line, cut when long, without characters that move others.

    Control characters and those that turn the direction of writing are replaced; `-` stands for None.
    """
    if value is None:
        return "-"
    text = str(value)
    cut = f"{text[:longest]}…" if len(text) > longest else text
    return "".join(each if each.isprintable() else _REPLACED for each in cut)


def element(name: str, /, *children: str, **attributes: str | None) -> Markup:
    """Return an element. Children and attributes are escaped, but for `Markup`; a None attribute is left out.

    Attributes are named as in Python: `class_`, `aria_label`.
    """
    pairs = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items() if value is not None}
    written = "".join(f' {key}="{escape(value)}"' for key, value in pairs.items())
    start = f"<{name}{written}>"
    if name in _VOID:
        return Markup(start)
    return Markup(f"{start}{''.join(map(_escaped, children))}</{name}>")


def raw(name: str, text: str, /, **attributes: str | None) -> Markup:
    """Return a `script` or `style` element. Its text is of ours, or JSON whose `<` are escaped.

    Raises:
        ValueError: The text would end the element.
    """
    if f"</{name}" in text.lower():
        raise ValueError(f"text of a <{name}> cannot hold its own end")
    return element(name, Markup(text), **attributes)


def _escaped(child: str) -> str:
    return child if isinstance(child, Markup) else escape(child)
