"""`harness schema`: the JSON Schema of a case's YAML file."""

from __future__ import annotations

import argparse
import json

from harness.cases.schema import json_schema


def execute(options: argparse.Namespace) -> int:
    """Print the schema."""
    print(json.dumps(json_schema(), indent=2))
    return 0
