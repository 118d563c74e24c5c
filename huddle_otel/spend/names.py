"""How a model's name may be written: spellings that are known to mean it, and release dates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from huddle_otel.spend.catalogue import CatalogueModel

GATEWAY_PREFIXES: Final = ("hudl/", "huddle01/")
VENDOR_PREFIXES: Final[Mapping[str, tuple[str, ...]]] = {
    "OpenAI": ("openai/",),
    "Anthropic": ("anthropic/",),
    "Google": ("google/", "gemini/"),
    "DeepSeek": ("deepseek/",),
    "xAI": ("xai/", "x-ai/"),
    "Qwen": ("qwen/", "dashscope/"),
    "MiniMax": ("minimax/",),
    "Moonshot": ("moonshot/", "moonshotai/"),
    "Meta": ("meta/", "meta-llama/"),
    "Mistral": ("mistral/", "mistralai/"),
    "Zhipu": ("zhipu/", "zai/", "z-ai/"),
}
_SEPARATORS: Final = str.maketrans("", "", "-_. ")


class Spelling(NamedTuple):
    """What a name means, and by which rule."""

    id: str
    why: str


def spellings_of(model: CatalogueModel) -> Iterator[tuple[str, Spelling]]:
    """Yield every listed way to write a model's id, its own included.

    These are dashes for dots, and aliases that are the id written differently; each also behind a prefix of the
    gateway, or of its own vendor.
    """
    plain = _plain(model.id)
    names = {alias: "alias" for alias in model.aliases if _plain(alias) == plain}
    names[model.id.replace(".", "-")] = "dashes for dots"
    names[model.id] = ""
    vendor = VENDOR_PREFIXES.get(model.vendor, ())
    prefixes = {prefix: f"{prefix} is {model.vendor}'s prefix" for prefix in vendor}
    for prefix, whose in {"": "", **gateway_prefixes(), **prefixes}.items():
        for name, how in names.items():
            yield prefix + name, Spelling(model.id, ", ".join(filter(None, (whose, how))))


def gateway_prefixes() -> dict[str, str]:
    """Return the gateway's prefixes, each with what to say of it."""
    return {prefix: f"{prefix} is the gateway's prefix" for prefix in GATEWAY_PREFIXES}


def undated(model: str) -> str | None:
    """Take a release date (``-2025-04-14``, ``-20250514``) off the end; ``None`` if there is none.

    By slices: this runs on every id that a table does not know.
    """
    if model[-9:-8] == "-" and _is_date(model[-8:-4], model[-4:-2], model[-2:]):
        return model[:-9]
    if model[-11:-10] == model[-6:-5] == model[-3:-2] == "-" and _is_date(model[-10:-6], model[-5:-3], model[-2:]):
        return model[:-11]
    return None


def _plain(name: str) -> str:
    return name.casefold().translate(_SEPARATORS)


def _is_date(year: str, month: str, day: str) -> bool:
    return (
        (year + month + day).isdecimal() and "2020" <= year <= "2099" and "01" <= month <= "12" and "01" <= day <= "31"
    )
