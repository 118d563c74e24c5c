"""A pytest plugin for `make mutate`: hypothesis tries the same examples for every mutant, and makes none smaller."""

from __future__ import annotations

from hypothesis import Phase, settings

settings.register_profile(
    "mutation", database=None, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate]
)
settings.load_profile("mutation")
