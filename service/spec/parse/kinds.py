"""Components that are given by their kind alone: "adam" stands for {"kind": "adam"}, wherever a kind is chosen."""

from typing import Any, get_args, get_origin

from pydantic import BaseModel

from service.spec.validation_errors import is_model, item_type, union_members


def with_kinds(annotation: Any, value: Any) -> Any:
    """Return `value` with each string in the place of a component as an object that has this kind."""
    members = union_members(annotation)
    if isinstance(value, str):
        return {"kind": value} if members and all(map(_is_component, members)) else value
    if isinstance(value, dict):
        chosen = next((each for each in members if is_model(each) and _fits(each, value)), None)
        return value if chosen is None else _object(chosen, value)
    if isinstance(value, list) and members and get_origin(members[0]) is tuple:
        arguments = get_args(members[0])
        if not any(map(is_model, union_members(item_type(arguments, 0)))):
            return value
        return [with_kinds(item_type(arguments, at), each) for at, each in enumerate(value)]
    return value


def _object(model: type[BaseModel], value: dict[str, Any]) -> dict[str, Any]:
    fields = model.model_fields
    return {name: with_kinds(fields[name].annotation, each) if name in fields else each for name, each in value.items()}


def _is_component(member: Any) -> bool:
    return is_model(member) and "kind" in member.model_fields


def _fits(model: type[BaseModel], value: dict[str, Any]) -> bool:
    """Return whether an object is of this model: it has its kind, or the model has none."""
    kind = model.model_fields.get("kind")
    return kind is None or value.get("kind") in get_args(kind.annotation)
