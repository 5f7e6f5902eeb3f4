"""Reading a job spec from JSON text or from plain objects, with every fault at its JSON pointer.

The model's shapes are not checked here: that takes torch (`gradclinic.model.resolve`).
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gradclinic.contract.naming import is_storable_text, pointer
from gradclinic.contract.spec import JobSpec
from gradclinic.errors import Fault, InvalidSpec

ModelT = TypeVar("ModelT", bound=BaseModel)

MAX_DEPTH = 64
"""Levels of nesting in a document. A layer is two levels, so this is about thirty nested combinators."""

UNSTORABLE = "This text holds a NUL or half a surrogate pair."

MAX_FAULTS = 100
"""Faults listed in one answer; whoever has more than that mends these first."""


def load_json(text: str | bytes) -> Any:
    """Read JSON text (RFC 8259: no NaN, no infinity, no key twice).

    Raises:
        InvalidSpec: It is not JSON, or nested deeper than `MAX_DEPTH`.
    """
    try:
        document = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_without_twins)
    except RecursionError:
        raise InvalidSpec([_too_deep()]) from None
    except ValueError as error:  # JSONDecodeError, UnicodeDecodeError, an integer of thousands of digits, the hooks
        raise InvalidSpec([Fault("", f"This is not JSON: {error}.", "a JSON object")]) from None
    # Here and not only in `parse_document`: whatever is done with a document recurses, and Python's stack has an end.
    if _depth_exceeds(document, MAX_DEPTH):
        raise InvalidSpec([_too_deep()])
    return document


def parse_spec(document: Any) -> JobSpec:
    """Read a job spec from plain objects, as `json.loads` or a YAML reader makes them.

    Raises:
        InvalidSpec: Something is wrong; `faults` lists every place.
    """
    return parse_document(JobSpec, document)


def parse_document(model: type[ModelT], document: Any) -> ModelT:
    """Read any model of the contract from plain objects; see `parse_spec`."""
    check_form(document)
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise InvalidSpec(faults_from(error.errors(include_url=False), document, model)) from None


def check_form(document: Any) -> None:
    """Refuse what no document of ours can be, whatever it is about: one that is nested too deep, or cannot be stored.

    Raises:
        InvalidSpec: `faults` lists every place.
    """
    if _depth_exceeds(document, MAX_DEPTH):
        raise InvalidSpec([_too_deep()])
    if unstorable := _unstorable_texts(document, ()):
        raise InvalidSpec(unstorable[:MAX_FAULTS])


def faults_from(errors: Sequence[ErrorDetails], document: Any, root: type[BaseModel] = JobSpec) -> list[Fault]:
    """Translate pydantic's errors about `document`, read as a `root`, into faults, in the order of the document."""
    placed = [(_place(error, document), error) for error in errors]
    # A list whose items are wrong is also reported as too short, because pydantic counts the right ones.
    parents = {
        place[:length] for place, error in placed for length in range(len(place)) if error["type"] != "too_short"
    }
    kept = [(place, error) for place, error in placed if not (error["type"] == "too_short" and place in parents)]
    return [_fault(place, error, root) for place, error in kept[:MAX_FAULTS]]


def _place(error: ErrorDetails, document: Any) -> tuple[str | int, ...]:
    """Return the keys that lead to the fault in the document itself.

    pydantic puts the tags of unions between them (`layers`, 0, `Linear`, `out_features`); what is not in the document
    is a tag, except for the last key of a missing field.
    """
    keys: list[str | int] = []
    here = document
    location = error["loc"]
    for index, key in enumerate(location):
        last = index == len(location) - 1
        if isinstance(here, Mapping) and key in here:
            keys.append(key)
            here = here[key]
        elif isinstance(here, list | tuple) and isinstance(key, int) and key < len(here):
            keys.append(key)
            here = here[key]
        elif last and error["type"] == "missing":
            keys.append(key)
    at = str(error.get("ctx", {}).get("at", "")) if error["type"] == "misfit" else ""
    return (*keys, *at.split("/")) if at else tuple(keys)


def _fault(  # noqa: C901 - one flat list of pydantic's errors, each with our words for it
    place: tuple[str | int, ...], error: ErrorDetails, root: type[BaseModel]
) -> Fault:
    kind, context, given = error["type"], error.get("ctx", {}), error["input"]
    where = pointer(*place)
    key = place[-1] if place else "the document"
    match kind:
        case "misfit":
            return Fault(where, str(context["said"]), context.get("expected"))
        case "missing":
            return Fault(where, f"{key} is missing.", "a value")
        case "extra_forbidden":
            return _unknown_key(where, str(key), _known_keys(root, error["loc"]))
        case "model_type" | "model_attributes_type" | "dict_type":
            return Fault(
                where, f"{key} is {_shown(given)}, where an object is expected.", 'an object: {"key": value, ...}'
            )
        case "tuple_type" | "list_type":
            return Fault(where, f"{key} is {_shown(given)}, where a list is expected.", "a list: [value, ...]")
        case "union_tag_not_found":
            return Fault(f"{where}/type", "The type is missing.", "the name of a type")
        case "union_tag_invalid":
            return _unknown_type(where, str(context["tag"]), str(context["expected_tags"]))
        case "finite_number":
            return Fault(where, f"{key} is {given!r}, which is not finite.", "a finite number")
        case "too_short" | "too_long":
            least, most = context.get("min_length"), context.get("max_length")
            wanted = f"at least {least}" if kind == "too_short" else f"at most {most}"
            count = context.get("actual_length") or len(given)  # pydantic stops counting a dictionary that is too long
            return Fault(where, f"{key} has {count} entries.", f"{wanted} entries")
        case "literal_error":
            return Fault(where, f"{key} is {_shown(given)}, which is not among the choices.", str(context["expected"]))
        case _:
            wanted = error["msg"].removeprefix("Input should be ").replace("Tuple", "List").replace("tuple", "list")
            return Fault(where, f"{key} is {_shown(given)}. {wanted[:1].upper()}{wanted[1:]} was expected.", wanted)


def _unknown_type(where: str, tag: str, expected: str) -> Fault:
    known = [name.strip("' ") for name in expected.split(",")]
    near = difflib.get_close_matches(tag, known, n=1) or [n for n in known if n.lower() == tag.lower()]
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return Fault(f"{where}/type", f"There is no type {tag[:80]!r} here.{hint}", ", ".join(known))


def _unknown_key(where: str, key: str, known: Sequence[str]) -> Fault:
    near = difflib.get_close_matches(key, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return Fault(
        where, f"{key[:80]} is not a key that is known here.{hint}", ", ".join(known) or "a key that is known here"
    )


def _known_keys(root: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """Return the keys of the model that refused the last key in `location`; none where that cannot be told."""
    models: set[type[BaseModel]] = {root}
    for key in location[:-1]:
        if isinstance(key, int):
            continue
        held = [model.model_fields[key].annotation for model in models if key in model.model_fields]
        if held:
            models = {model for annotation in held for model in _models_in(annotation)}
        else:  # the tag of a union: the type of one of its members
            named = {model for model in models if key in _types_of(model)}
            models = named or {model for model in models if not _types_of(model)} or models
    return sorted(models.pop().model_fields) if len(models) == 1 else []


def _models_in(annotation: Any) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {model for part in get_args(annotation) for model in _models_in(part)}


def _types_of(model: type[BaseModel]) -> tuple[str, ...]:
    return get_args(model.model_fields["type"].annotation) if "type" in model.model_fields else ()


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _too_deep() -> Fault:
    return Fault("", "The document is nested too deep.", f"at most {MAX_DEPTH} levels")


def _depth_exceeds(document: Any, limit: int) -> bool:
    level = [document]
    for _ in range(limit):
        level = [child for node in level for child in _children(node)]
        if not level:
            return False
    return True


def _children(node: Any) -> list[Any]:
    values = node.values() if isinstance(node, Mapping) else node if isinstance(node, list | tuple) else ()
    return [value for value in values if isinstance(value, Mapping | list | tuple)]


def _unstorable_texts(node: Any, place: tuple[str | int, ...]) -> list[Fault]:
    """List the texts that no database or UTF-8 file can hold; a key that is one is told at what holds it."""
    if isinstance(node, str):
        return [] if is_storable_text(node) else [Fault(pointer(*place), UNSTORABLE, "text that UTF-8 can hold")]
    if isinstance(node, Mapping):
        if not all(is_storable_text(str(key)) for key in node):
            return [Fault(pointer(*place), f"A key: {UNSTORABLE}", "keys that UTF-8 can hold")]
        items: Iterable[tuple[str | int, Any]] = node.items()
    else:
        items = enumerate(node) if isinstance(node, list | tuple) else ()
    return [fault for key, value in items for fault in _unstorable_texts(value, (*place, key))]


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number in JSON")


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for key, value in pairs:
        if key in document:
            raise ValueError(f"the key {key!r} stands twice in one object")
        document[key] = value
    return document
