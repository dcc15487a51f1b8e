"""What a row is about: an output, a gradient, a certificate."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal[
    "value", "gradient", "intermediate", "jvp", "hvp", "trained", "certificate", "all"
]

#: The text of each kind, and what its name looks like; the first form that fits a text is its own.
_FORMS: dict[Kind, tuple[str, str]] = {
    "certificate": ("certificate", ""),
    "all": ("all", ""),
    "intermediate": ("d/d{} (intermediate)", r"\S+"),
    "gradient": ("d/d{}", r"\S+"),
    "jvp": ("jvp {}", r"\S+"),
    "hvp": ("hvp {}", r"\S+"),
    "trained": ("{}", r"\S+ after \d+ steps"),
    "value": ("{}", ".*"),
}
_EXPECTED = "expect "


class Quantity(str):
    """`d/dx`, `f`, `certificate`: a string, since rows are text in tables and journals, that knows
    its kind and the name of what it is about.

    kind:      `value` of an output or intermediate, VJP by leaf (`gradient`) or by `intermediate`,
               `jvp` by output, `hvp` by leaf, a leaf at the end of training (`trained`), what is
               proved about the backward (`certificate`), or `all` that a method was asked for.
    name:      the output, the leaf path or the intermediate; `w after 40 steps` of what was
               trained; "" where there is none.
    expected:  whether it is compared with a number that its source printed or a closed form.
    """

    kind: Kind
    name: str
    expected: bool

    def __new__(cls, kind: Kind, name: str = "", *, expected: bool = False) -> Quantity:
        self = super().__new__(cls, _EXPECTED * expected + _FORMS[kind][0].format(name))
        self.kind, self.name, self.expected = kind, name, expected
        return self

    def __getnewargs_ex__(self) -> tuple[tuple[Kind, str], dict[str, bool]]:
        return (self.kind, self.name), {"expected": self.expected}

    @classmethod
    def parse(cls, text: str) -> Quantity:
        """The quantity of such a text, as a journal has it."""
        bare = text.removeprefix(_EXPECTED)
        for kind, (form, name) in _FORMS.items():
            pattern = re.escape(form).replace(r"\{\}", f"({name})")
            if found := re.fullmatch(pattern, bare, re.DOTALL):
                return cls(kind, *found.groups(), expected=bare != text)
        raise AssertionError("any text is a value")


CERTIFICATE = Quantity("certificate")
ALL = Quantity("all")
