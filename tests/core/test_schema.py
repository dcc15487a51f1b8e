"""The format of a case's YAML: every misspelling is met with the nearest valid key and its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from builders import check_error

from harness.cases.document import Document, read
from harness.cases.registry import builtin_folder
from harness.cases.schema import CaseFile, json_schema, validate
from harness.errors import CaseError

BUILTIN = sorted(builtin_folder().glob("*.yaml"))


def document(folder: Path, text: str) -> Document:
    file = folder / "demo.yaml"
    file.write_text("summary: demo\n" + text, encoding="utf-8")
    return read(file)


def accepted(folder: Path, text: str) -> CaseFile:
    return validate(document(folder, text))


def refused(folder: Path, text: str) -> CaseError:
    with pytest.raises(CaseError) as caught:
        accepted(folder, text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "line", "unknown", "nearest"),
    [
        ("input: {}\n", 2, "input", "inputs"),
        ("inputs:\n  x:\n    shape: [2]\n    domian: [0, 1]\n", 5, "domian", "domain"),
        ("inputs:\n  p:\n    w: {shape: [2], drow: normal}\n", 4, "drow", "draw"),
        ("inputs:\n  p:\n    - {value: 1}\n    - {value: 1, shpe: []}\n", 5, "shpe", "shape"),
        ("inputs:\n  x: {shap: [2]}\n", 3, "shap", "shape"),
        ("points:\n  p:\n    input: {}\n", 4, "input", "inputs"),
        ("points:\n  p:\n    expect:\n      valeu: '1'\n", 5, "valeu", "value"),
        ("points:\n  p:\n    expect:\n      - gradients: {}\n", 5, "gradients", "gradient"),
        ("tolerance:\n  float32: {rtoll: 1}\n", 3, "rtoll", "rtol"),
        ("known:\n  - {backend: a, status: fail, raison: x}\n", 3, "raison", "reason"),
        ("training:\n  of: x\n  steps: 1\n  stepsize: 1\n", 5, "stepsize", "step_size"),
    ],
)
def test_an_unknown_key_is_named_with_its_line_and_the_nearest(
    tmp_path: Path, text: str, line: int, unknown: str, nearest: str
) -> None:
    error = refused(tmp_path, text)
    check_error(error, tmp_path / "demo.yaml", line, unknown, f"did you mean `{nearest}`?")


@pytest.mark.parametrize(
    ("text", "line", "parts"),
    [
        ("inputs: {x: {shape: [2], value: 1}}\n", 2, ["`inputs.x`", "one of `shape` and `value`"]),
        ("inputs:\n  x: {shape: [2], domain: [1, 0]}\n", 3, ["`inputs.x`", "low < high"]),
        ("inputs:\n  x: {shape: [2], domain: [1, 1]}\n", 3, ["low < high"]),
        ("inputs:\n  x: {shape: [2], domain: [.nan, 1]}\n", 3, ["low < high"]),
        ("inputs:\n  x: {shape: [2], domain: [1]}\n", 3, ["`inputs.x.domain`"]),
        ("inputs:\n  x: {shape: [-1]}\n", 3, ["`inputs.x.shape.0`", "greater than or equal to 0"]),
        ("inputs:\n  x: {shape: [2], draw: gaussian}\n", 3, ["`inputs.x.draw`", "'normal'"]),
        ("inputs:\n  x: {shape: [2], draw: integers}\n", 3, ["needs a finite `domain`"]),
        (
            "inputs:\n  x: {shape: [2], draw: integers, domain: [0, .inf]}\n",
            3,
            ["needs a finite `domain`"],
        ),
        (
            "inputs:\n  x: {shape: [2], draw: integers, domain: [0.2, 0.8]}\n",
            3,
            ["holds no integer"],
        ),
        ("inputs:\n  x: {value: [1, two]}\n", 3, ["`two` is no number", "`inputs.x.value.1`"]),
        ("inputs:\n  x: {value: [1, .nan]}\n", 3, ["`nan` is no number", "`inputs.x.value.1`"]),
        ("inputs:\n  x: {value: [[1, 2], [3]]}\n", 3, ["lists of equal length"]),
        ("inputs:\n  x: {value: [0.5, 2], domain: [0, 1]}\n", 3, ["`value` is outside"]),
        ("inputs:\n  x: 3\n", 3, ["`inputs.x` is no input", "a mapping with `shape`"]),
        ("sizes: {default: {m: two}}\n", 2, ["`sizes.default.m`", "integer"]),
        ("sizes: {default: {m: -1}}\n", 2, ["greater than or equal to 0"]),
        ("tags: notebook\n", 2, ["`tags`", "list"]),
        ("tolerance: {float32: {rtol: -1}}\n", 2, ["greater than or equal to 0"]),
        ("tolerance: {float8: {rtol: 1}}\n", 2, ["float8", "'float16' or 'bfloat16'"]),
        ("known:\n  - {backend: a, status: failed, reason: r}\n", 3, ["`known.0.status`"]),
        ("known:\n  - {backend: a, status: fail}\n", 3, ["`reason` is missing"]),
        ("training: {of: x, steps: 1}\n", 2, ["`step_size` is missing in `training"]),
        ("training: {of: x, steps: 1, step_size: 0}\n", 2, ["greater than 0"]),
        ("training: {of: x, steps: 1, step_size: 1, mass: 1}\n", 2, ["less than 1"]),
        ("training: {of: x, steps: 1, step_size: 1, start: printed}\n", 2, ["`training.start`"]),
        ("points: {p: {expect: {step: 0}}}\n", 2, ["greater than 0"]),
        ("points: {p: {expect: {intermediates: {q: 1.5}}}}\n", 2, ["`1.5` is no printed number"]),
    ],
)
def test_a_bad_value_is_named_with_its_line(
    tmp_path: Path, text: str, line: int, parts: list[str]
) -> None:
    error = refused(tmp_path, text)
    assert error.file == tmp_path / "demo.yaml"
    assert error.line == line
    for part in parts:
        assert part in str(error)


def test_a_misspelt_required_key_is_not_called_missing(tmp_path: Path) -> None:
    file = tmp_path / "demo.yaml"
    file.write_text("inputs: {}\nsumary: demo\n", encoding="utf-8")
    with pytest.raises(CaseError) as caught:
        validate(read(file))
    check_error(caught.value, file, 2, "unknown key `sumary`", "did you mean `summary`?")


def test_a_case_has_a_summary(tmp_path: Path) -> None:
    file = tmp_path / "demo.yaml"
    file.write_text("inputs: {}\n", encoding="utf-8")
    with pytest.raises(CaseError, match=r"demo\.yaml:1: `summary` is missing"):
        validate(read(file))


def test_the_first_of_several_faults_is_reported(tmp_path: Path) -> None:
    error = refused(
        tmp_path, "sizes: {default: {m: x}}\ntags: 1\ninputs: {x: {shape: [x], q: 1}}\n"
    )
    assert error.line == 2


def test_inputs_may_be_nested(tmp_path: Path) -> None:
    declared = accepted(
        tmp_path,
        """
inputs:
  params: {w: [{shape: [m, 2]}, {value: "0.50", differentiable: false}], deep: {er: {shape: []}}}
  supplied: {}
""",
    )
    params: Any = declared.inputs["params"]
    assert params["w"][0].shape == ["m", 2]
    assert params["w"][1].value == "0.50"
    assert not params["w"][1].differentiable
    assert params["deep"]["er"].shape == []
    supplied: Any = declared.inputs["supplied"]
    assert supplied.shape is None


def test_one_expectation_needs_no_list(tmp_path: Path) -> None:
    one = accepted(tmp_path, "points: {p: {expect: {value: '1.0'}}}\n").points["p"].expect
    many = accepted(tmp_path, "points: {p: {expect: [{value: '1.0'}]}}\n").points["p"].expect
    assert one == many


@pytest.mark.parametrize("file", BUILTIN, ids=lambda file: file.stem)
def test_every_builtin_case_is_accepted(file: Path) -> None:
    assert validate(read(file)).summary


def test_there_are_builtin_cases() -> None:
    assert len(BUILTIN) >= 10


def test_the_json_schema_is_json_and_describes_the_models() -> None:
    schema = json.loads(json.dumps(json_schema()))
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["summary"]
    assert set(schema["properties"]) == set(CaseFile.model_fields)
    for name in ("Leaf", "Point", "Expectation", "Tolerance", "Gap", "Training"):
        assert schema["$defs"][name]["additionalProperties"] is False
    assert set(references(schema)) <= {f"#/$defs/{name}" for name in schema["$defs"]}


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [each for child in node.values() for each in references(child)]
    if isinstance(node, list):
        return [each for child in node for each in references(child)]
    return []
