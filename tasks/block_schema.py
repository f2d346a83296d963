"""The base of our Prefect blocks: a block type's schema is made once in a process."""

from __future__ import annotations

import copy
from abc import ABC
from typing import Any, Literal

from prefect.blocks.core import Block
from pydantic.json_schema import GenerateJsonSchema

Mode = Literal["validation", "serialization"]
_MADE: dict[tuple[object, ...], dict[str, Any]] = {}


class JobBlock(Block, ABC):
    """A block of ours.

    Prefect asks for the schema anew for every field of a block that it writes down, to know which are secret: saving a
    portfolio took a second, nearly all of it for two hundred schemas. A type's schema never changes.
    """

    @classmethod
    def model_json_schema(  # type: ignore[override]  # the signature is the one of Prefect's own block
        cls,
        by_alias: bool = True,
        ref_template: str = "#/definitions/{model}",
        schema_generator: type[GenerateJsonSchema] = GenerateJsonSchema,
        mode: Mode = "validation",
    ) -> dict[str, Any]:
        """The type's JSON schema, a copy that the caller may change."""
        key = (cls, by_alias, ref_template, schema_generator, mode)
        if key not in _MADE:
            _MADE[key] = super().model_json_schema(by_alias, ref_template, schema_generator, mode)
        return copy.deepcopy(_MADE[key])
