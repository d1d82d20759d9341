"""The JSON Schemas of a model's fields, in the words of its docstring."""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from llem.domain.meanings import about, meanings

Schema = dict[str, Any]


def field_schemas(model: type[BaseModel]) -> dict[str, Schema]:
    """Return the schema of each of a model's fields, described and without references.

    A field that is a model itself has no default: those of its keys say it.
    """
    tree = model.model_json_schema(schema_generator=_Described)
    fields: dict[str, Schema] = _inlined(tree["properties"], tree.get("$defs", {}))
    for field in fields.values():
        if isinstance(field.get("default"), dict):
            del field["default"]
    return fields


def told(text: str) -> str:
    """Return a docstring's text with code as Markdown writes it, which editors show."""
    return text.replace("``", "`")


class _Described(GenerateJsonSchema):
    """Describes every field and gives no titles, which pydantic makes of the names."""

    def model_schema(self, schema: core_schema.ModelSchema) -> Schema:
        """Return a model's schema."""
        tree = super().model_schema(schema)
        tree.pop("title", None)
        tree["description"] = told(about(schema["cls"]))
        for name, text in meanings(schema["cls"]).items():
            tree["properties"][name]["description"] = told(text)
        return tree

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Return that no field gets a title."""
        return False


def _inlined(node: Any, defs: Schema) -> Any:
    if isinstance(node, list):
        return [_inlined(item, defs) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        node = {**defs[node["$ref"].rpartition("/")[2]], **{key: node[key] for key in node if key != "$ref"}}
    return {key: _inlined(value, defs) for key, value in node.items()}
