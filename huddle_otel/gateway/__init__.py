"""An embedded, OpenAI-compatible gateway for tests and demos: answers like LiteLLM, fails on demand, real sockets."""

from __future__ import annotations

from huddle_otel.gateway import faults
from huddle_otel.gateway.embedded import Gateway
from huddle_otel.gateway.models import DEFAULT_MODELS, Model
from huddle_otel.gateway.personas import LITELLM, OPENAI, Persona
from huddle_otel.gateway.rules import Call, Rule

__all__ = ["DEFAULT_MODELS", "LITELLM", "OPENAI", "Call", "Gateway", "Model", "Persona", "Rule", "faults"]
