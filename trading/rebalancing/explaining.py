"""What is wrong with a portfolio or a subscription: each mistake with its field, its value and what to do.

Values are shown, cut to a line: these documents hold no secrets. The value of a key that nobody knows is not shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

_SHOWN_MAX = 60
_RANGE = {
    "greater_than": "above",
    "greater_than_equal": "at least",
    "less_than": "below",
    "less_than_equal": "at most",
}


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Every mistake of a refused `model`, joined by semicolons."""
    return "; ".join(explain_one(item, model) for item in error.errors(include_url=False))


def explain_one(item: Mapping[str, Any], model: type[BaseModel]) -> str:
    """One of pydantic's errors: `field must …, was 'value'; remedy`."""
    place = ".".join(str(part) for part in item["loc"]) or model.__name__.lower()
    kind, context = item["type"], item.get("ctx") or {}
    was = _shown(item.get("input"))
    if kind == "value_error":
        text = item["msg"].removeprefix("Value error, ")
        return f"{place}: {text}" if "was " in text or ";" in text else f"{place}: {text}, was {was}"
    if kind == "extra_forbidden":
        return _unknown(item["loc"], model)
    if kind == "missing":
        return f"{place} is missing; give it a value"
    if kind in _RANGE:
        limit = next(value for key, value in context.items() if key in ("gt", "ge", "lt", "le"))
        return f"{place} must be {_RANGE[kind]} {limit}, was {was}; give a number in that range"
    if kind == "string_pattern_mismatch":
        return f"{place} must have the form {context['pattern']}, was {was}; correct its spelling"
    if kind in ("too_short", "too_long"):
        word, limit = (
            ("at least", context.get("min_length")) if kind == "too_short" else ("at most", context["max_length"])
        )
        return f"{place} must have {word} {limit} entries, was {context.get('actual_length')}; add or take out some"
    wanted = item["msg"].removeprefix("Input should be ")
    return f"{place} must be {wanted}, was {was}; correct the value"


def _unknown(loc: tuple[int | str, ...], model: type[BaseModel]) -> str:
    """A key that nobody knows, and the one that it resembles."""
    fields = _fields_at(loc[:-1], model)
    close = get_close_matches(str(loc[-1]), fields, n=1)
    remedy = f"did you mean {close[0]}?" if close else f"take it out; known: {', '.join(fields)}"
    return f"{'.'.join(map(str, loc))} is not known; {remedy}"


def _fields_at(loc: tuple[int | str, ...], model: type[BaseModel]) -> list[str]:
    """The fields of the model, or of the one that lies at a place in it."""
    for part in loc:
        field = model.model_fields.get(str(part))
        inner = [] if field is None else _models_in(field.annotation)
        model = inner[0] if inner else model
    return sorted(model.model_fields)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in getattr(annotation, "__args__", ()) for found in _models_in(part)]


def _shown(value: Any) -> str:
    text = repr(value) if isinstance(value, (str, int, float)) or value is None else f"a {type(value).__name__}"
    return text if len(text) <= _SHOWN_MAX else f"{text[: _SHOWN_MAX - 1]}…"
