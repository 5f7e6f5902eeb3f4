"""The JSON Schema (2020-12) of a job spec, for editors that complete and check while somebody types.

It knows every word, type and range. What depends on other values (whether shapes fit, say) is beyond a schema:
`gradclinic validate` tells.
"""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from gradclinic.contract.spec import JobSpec
from gradclinic.contract.sweep import SweepSpec

_LAYER = "#/$defs/Layer"


def spec_schema(*, sweep: bool = False) -> dict[str, Any]:
    """Return the schema of a job spec, or of one with a sweep beside it."""
    schema = (SweepSpec if sweep else JobSpec).model_json_schema()
    definitions: dict[str, Any] = schema.pop("$defs")
    about = schema.pop("description")
    unions: dict[str, Any] = {}
    fields = {name: _for_editors(part, unions) for name, part in schema.items() if name != "title"}
    kinds = {name: _kind(_for_editors(definition, unions)) for name, definition in definitions.items()}
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        "$id": f"urn:gradclinic:{'sweep' if sweep else 'job'}-spec",
        "title": f"gradclinic {'sweep' if sweep else 'job spec'}",
        "description": about,
        **fields,
        "$defs": dict(sorted((kinds | unions).items())),
    }


def _for_editors(part: Any, unions: dict[str, Any]) -> Any:
    """Leave out what is for OpenAPI alone, and let the long list of all layers stand once."""
    if isinstance(part, list):
        return [_for_editors(item, unions) for item in part]
    if not isinstance(part, dict):
        return part
    if "Linear" in part.get("discriminator", {}).get("mapping", {}):
        unions["Layer"] = {"description": "Any layer, told apart by its `type`.", "oneOf": part["oneOf"]}
        return {"$ref": _LAYER}
    # A title that pydantic makes from a field's name only repeats it; a property may itself be called title.
    is_made = isinstance(part.get("title"), str) and "properties" not in part
    left_out = {"discriminator", *(("title",) if is_made else ())}
    kept = {key: _for_editors(value, unions) for key, value in part.items() if key not in left_out}
    # Keys of a dictionary that have a pattern have to match it.
    return kept | ({"additionalProperties": False} if "patternProperties" in kept else {})


def _kind(definition: dict[str, Any]) -> dict[str, Any]:
    """Let the `type` of a definition stand first and say what the type is: that is where a person looks."""
    properties = definition.get("properties", {})
    if "const" not in properties.get("type", {}):
        return definition
    told = properties["type"] | {"description": definition["description"]}
    return definition | {"properties": {"type": told} | {**properties, "type": told}}
