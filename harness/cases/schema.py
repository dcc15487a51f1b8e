"""The shape of a case's YAML file, as pydantic models.

The models are the only description of the format: they validate, they name the nearest key when one
is misspelt, and they are the JSON Schema that `harness schema` prints for editors.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from harness import printed
from harness.cases.document import Document, Path_
from harness.dtypes import DtypeName
from harness.errors import CaseError, did_you_mean

Draw = Literal["uniform", "normal", "integers", "spd", "orthogonal", "simplex"]

#: Where the elements of an array with a structure lie. A domain inside would clip them, and the
#: array would no longer be what its draw says.
_RANGES = {"spd": (-2, 2), "orthogonal": (-1, 1), "simplex": (0, 1)}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=True)


def _numbers(what: str, accepts: Callable[[Any], bool]) -> Callable[[Any], Any]:
    """A validator of nested lists whose leaves `accepts`; it points at the first that is not."""

    def validate(value: Any) -> Any:
        def walk(node: Any, path: Path_) -> None:
            if isinstance(node, list):
                for index, each in enumerate(node):
                    walk(each, (*path, index))
            elif not accepts(node):
                raise PydanticCustomError("number", f"`{node}` is no {what}", {"path": path})

        walk(value, ())
        if not printed.is_regular(value):
            text = "no array of numbers; give nested lists of equal length"
            raise PydanticCustomError("number", text)
        return value

    return validate


def _is_number(leaf: Any) -> bool:
    if isinstance(leaf, str):
        return printed.is_number(leaf)
    if isinstance(leaf, float):
        return not math.isnan(leaf)
    return isinstance(leaf, int) and abs(leaf) < 2**1023


def is_numeric(numbers: Any) -> bool:
    """Whether a nested list is an array of numbers, quoted or not."""
    leaves = [numbers]
    while any(isinstance(each, list) for each in leaves):
        leaves = [leaf for each in leaves for leaf in (each if isinstance(each, list) else [each])]
    return printed.is_regular(numbers) and all(map(_is_number, leaves))


def is_printed(leaf: Any) -> bool:
    """Whether `leaf` is a number in quotes."""
    return isinstance(leaf, str) and printed.is_number(leaf)


def _nested(leaf: dict[str, Any], description: str) -> WithJsonSchema:
    """Lists four deep are as deep as an editor needs to follow."""
    schema = leaf
    for _ in range(4):
        schema = {"anyOf": [leaf, {"type": "array", "items": schema}]}
    return WithJsonSchema({**schema, "description": description})


Numbers: TypeAlias = Annotated[
    Any,
    BeforeValidator(_numbers("number", _is_number)),
    _nested(
        {"type": ["number", "boolean", "string"]},
        "numbers; a quoted one is printed, and stands for whatever rounds to it",
    ),
]
Printed: TypeAlias = Annotated[
    Any,
    BeforeValidator(_numbers("printed number; quote it as its source prints it", is_printed)),
    _nested({"type": "string"}, "numbers in quotes, with the digits that the source prints"),
]


def _kind(value: Any) -> str:
    if isinstance(value, Leaf):
        return "leaf"
    if isinstance(value, dict):
        return "leaf" if not value or set(value) & set(Leaf.model_fields) else "mapping"
    return "list" if isinstance(value, list) else "leaf" if value is not None else "absent"


class Leaf(_Strict):
    """One array among the inputs. Without `shape` and `value`, `inputs(rng)` supplies it."""

    shape: list[Annotated[int, Field(ge=0)] | str] | None = Field(
        None, description="dimensions: numbers, or names that `sizes` defines; [] is a scalar"
    )
    value: Numbers = Field(None, description="a fixed value; of integers if it has no point")
    draw: Draw | None = Field(
        None, description="default: uniform over a finite domain, else normal"
    )
    domain: tuple[float, float] | None = Field(None, description="closed interval [low, high]")
    differentiable: bool = Field(True, description="false for data")

    @property
    def kind(self) -> str:
        """`b`, `i` or `f`: truth values, integers or floats, by numpy's letters."""
        if self.draw == "integers":
            return "i"
        return "f" if self.value is None else printed.kind(self.value)

    @model_validator(mode="after")
    def _consistent(self) -> Leaf:
        if self.shape is not None and self.value is not None:
            raise PydanticCustomError("leaf", "a leaf has one of `shape` and `value`, not both")
        if self.domain is not None and not self.domain[0] < self.domain[1]:
            raise PydanticCustomError("leaf", "`domain` must be [low, high] with low < high")
        if self.draw == "uniform" and not (
            self.domain is not None and all(map(math.isfinite, self.domain))
        ):
            raise PydanticCustomError("leaf", "`draw: uniform` needs a finite `domain`")
        shape = self.shape or []
        if self.draw in ("spd", "orthogonal") and (len(shape) < 2 or shape[-1] != shape[-2]):
            raise PydanticCustomError("leaf", f"`draw: {self.draw}` needs a square shape")
        if self.draw == "simplex" and not shape:
            raise PydanticCustomError("leaf", "`draw: simplex` needs at least one dimension")
        if self.domain is not None and self.draw in _RANGES:
            low, high = _RANGES[self.draw]
            if not (self.domain[0] <= low and high <= self.domain[1]):
                text = f"`draw: {self.draw}` gives numbers in [{low}, {high}]; leave out `domain`"
                raise PydanticCustomError("leaf", f"{text}, or let it hold them all")
        if self.draw == "integers":
            if self.domain is None or not all(map(math.isfinite, self.domain)):
                raise PydanticCustomError("leaf", "`draw: integers` needs a finite `domain`")
            if math.ceil(self.domain[0]) > math.floor(self.domain[1]):
                raise PydanticCustomError("leaf", "`draw: integers`: the domain holds no integer")
            if self.domain[0] < -(2**63) or self.domain[1] >= 2**63:
                raise PydanticCustomError("leaf", "`draw: integers`: the domain exceeds int64")
        if self.value is not None and self.domain is not None:
            values, _ = printed.to_arrays(self.value)
            if not ((values >= self.domain[0]) & (values <= self.domain[1])).all():
                raise PydanticCustomError("leaf", "`value` is outside the `domain`")
        return self


# mypy cannot follow an alias that refers to itself; pydantic can.
InputTree = TypeAliasType(  # type: ignore[misc]
    "InputTree",
    Annotated[
        Annotated[Leaf, Tag("leaf")]
        | Annotated[None, Tag("absent")]
        | Annotated[dict[str, "InputTree"], Tag("mapping")]  # type: ignore[misc]
        | Annotated[list["InputTree"], Field(min_length=1), Tag("list")],  # type: ignore[misc]
        Discriminator(_kind),
    ],
)


class Expectation(_Strict):
    """Numbers that a source printed for a point."""

    value: Annotated[
        Any,
        WithJsonSchema({"description": "the output; a mapping by name where there are several"}),
    ] = None
    gradient: dict[str, Any] = Field(
        default_factory=dict, description="by input, nested like it, or by intermediate"
    )
    intermediates: dict[str, Printed] = Field(
        default_factory=dict, description="values of intermediates by name"
    )
    dtype: DtypeName = Field("float64", description="the dtype that the source computed in")
    backend: str | None = Field(None, description="the only method this was printed by")
    step: float | None = Field(None, gt=0, description="fixed step of the numeric method")
    source: str = ""


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _one_or_many(schema: dict[str, Any]) -> None:
    """Let the JSON Schema of a list accept one bare item too, as `_as_list` does."""
    array = {"type": schema.pop("type"), "items": schema.pop("items")}
    schema["anyOf"] = [array["items"], array]


class Point(_Strict):
    """A declared point. What `inputs` leaves out is drawn as for a random point."""

    inputs: dict[str, Any] = Field(default_factory=dict)
    expect: Annotated[list[Expectation], BeforeValidator(_as_list)] = Field(
        default_factory=list, json_schema_extra=_one_or_many
    )
    cotangent: Any = Field(None, description="default: ones; a mapping by output if several")
    size: str | None = None


class Tolerance(_Strict):
    """|got - expected| <= atol + rtol |expected|, elementwise. Without `rtol`, the default one."""

    rtol: float | None = Field(None, ge=0, lt=math.inf)
    atol: float = Field(0.0, ge=0, lt=math.inf)


#: What a gap may consist in; `pass` is none, and what was not tried shows none.
GapStatus: TypeAlias = Literal[
    "fail",
    "imprecise",
    "kink",
    "unstable",
    "convention",
    "jump",
    "unsupported",
    "error",
    "timeout",
    "crash",
]


class Gap(_Strict):
    """A declared gap. It is strict: once the rows it covers pass, they say `fixed` and fail."""

    backend: str
    status: GapStatus
    reason: str
    mode: Literal["value", "vjp", "jvp", "hvp", "train"] = "vjp"
    raises: str | None = Field(None, description="name of the exception that the method raises")
    point: str | None = None
    dtype: DtypeName | None = None
    quantity: str | None = None


class Training(_Strict):
    """Train the input `of` with each method's gradients; the final parameters must agree."""

    of: str
    optimizer: Literal["gradient_descent", "momentum"] = "gradient_descent"
    steps: Annotated[int, Field(ge=1)] | str = Field(description="a number, or the name of a size")
    step_size: float = Field(gt=0)
    mass: float = Field(0.9, ge=0, lt=1)
    start: str = Field(
        "draw0", pattern=r"^draw\d+$", description="the random draw that training starts from"
    )


class CaseFile(_Strict):
    """A gradient case: one function, its inputs, and what is known about its gradients."""

    model_config = ConfigDict(title="gradient harness case")

    summary: str = Field(description="one line about the function")
    formula: str = Field("", description="LaTeX")
    source: str = Field("", description="where the function and its numbers come from")
    tags: list[str] = Field(default_factory=list, description="selected by `--tag`")
    inputs: dict[str, InputTree] = Field(
        default_factory=dict, description="leaves, or nested mappings and lists of them"
    )
    sizes: dict[str, dict[str, Annotated[int, Field(ge=0)]]] = Field(
        default_factory=dict, description="named sets of dimensions; one is called `default`"
    )
    points: dict[str, Point] = Field(
        default_factory=dict, description="points besides the random draws"
    )
    dtypes: list[DtypeName] = Field(
        default_factory=list, description="the only dtypes that the case is for; default: any"
    )
    tolerance: dict[DtypeName, Tolerance] = Field(default_factory=dict)
    known: list[Gap] = Field(default_factory=list, description="declared gaps, strict")
    training: Training | None = None


def validate(document: Document) -> CaseFile:
    """The document as a CaseFile. Raises CaseError at the line of the first violation."""
    try:
        return CaseFile.model_validate(document.data)
    except ValidationError as error:
        raise _explain(document, error) from None


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a case's YAML file."""
    # pydantic writes `oneOf` for what a function tells apart; to a validator, `{shape: []}` is a
    # leaf and a container both.
    found = json.loads(json.dumps(CaseFile.model_json_schema()).replace('"oneOf"', '"anyOf"'))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def _explain(document: Document, error: ValidationError) -> CaseError:
    """The first error in the order of the file, with its line and the nearest valid key."""
    found = []
    for each in error.errors(include_url=False):
        path = _data_path(document.data, each["loc"]) + tuple(each.get("ctx", {}).get("path", ()))
        found.append((document.line(path), path, each))
    # A required key that is misspelt is missing too; the misspelling says more.
    misspelt = {path[:-1] for _, path, each in found if each["type"] == "extra_forbidden"}
    found = [item for item in found if item[2]["type"] != "missing" or item[1] not in misspelt]
    line, path, first = min(found, key=lambda item: item[0])
    where = ".".join(str(part) for part in path)
    if first["type"] == "extra_forbidden":
        message = f"unknown key `{path[-1]}`"
        parent = ".".join(str(part) for part in path[:-1])
        message += f" in `{parent}`" if parent else ""
        return CaseError(
            f"{message}; {did_you_mean(str(path[-1]), _keys_for(first['loc']))}",
            file=document.file,
            line=line,
            remedy="`harness schema` prints every valid key",
        )
    remedy = ""
    if first["type"] == "missing":
        message = f"`{first['loc'][-1]}` is missing" + (f" in `{where}`" if where else "")
    elif path[:1] == ("inputs",) and first["type"].startswith(("model_", "too_short")):
        # `shap: [2]` alone, or `shap: []`, reads as a container; its key, not the index below it,
        # is the culprit.
        keys = [str(part) for part in path if isinstance(part, str)]
        message = f"`{where}` is no input; {did_you_mean(keys[-1], Leaf.model_fields)}"
        remedy = "an input is a mapping with `shape` or `value`, or a container of such mappings"
    else:
        text = first["msg"][:1].lower() + first["msg"][1:]
        message = f"`{where}`: {text}" if where else text
    return CaseError(message, file=document.file, line=line, remedy=remedy)


def _data_path(data: Any, location: tuple[str | int, ...]) -> Path_:
    """`location` without the union tags that pydantic adds and the data does not have."""
    path: list[str | int] = []
    for index, part in enumerate(location):
        last = index == len(location) - 1
        inside = isinstance(data, list) and isinstance(part, int) and part < len(data)
        if inside or (isinstance(data, dict) and part in data):
            data = data[part]
        elif not (last and isinstance(data, dict) and part not in ("leaf", "mapping", "list")):
            continue
        else:
            break
        path.append(part)
    return tuple(path)


def _keys_for(location: tuple[str | int, ...]) -> list[str]:
    """The valid keys beside the last one of `location`."""
    owners: list[tuple[tuple[Any, ...], type[BaseModel]]] = [
        (("points", "*", "expect", 0), Expectation),
        (("points", "*"), Point),
        (("known", 0), Gap),
        (("training",), Training),
        (("tolerance", "*"), Tolerance),
        (("inputs",), Leaf),
    ]
    for prefix, model in owners:
        if len(location) > len(prefix) and all(
            want in ("*", part) or isinstance(want, int)
            for want, part in zip(prefix, location, strict=False)
        ):
            return list(model.model_fields)
    return list(CaseFile.model_fields)
