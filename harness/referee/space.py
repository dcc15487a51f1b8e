"""The `xp` of the referee: the array API standard in ball arithmetic.

Names that make no sense over the reals, or have no certified answer, are listed with the reason;
using one raises `Unsupported`, and the row says which.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from flint import arb

from harness import dtypes
from harness.programs.namespace import Namespace
from harness.referee import elementwise, exponentials, linalg, reductions, shapes, sorting
from harness.referee.array import BallArray, promoted
from harness.referee.truth import Truth
from harness.referee.undecided import with_precision

#: Bits to which pi and e are known: twice the precision that the referee goes to.
_CONSTANT_BITS = 8192

_BITS = "works on bits, not on real numbers"
_COMPLEX = "complex numbers; balls are real"
_GAPS = {
    **{
        f"bitwise_{name}": _BITS
        for name in ("and", "or", "xor", "invert", "left_shift", "right_shift")
    },
    "nextafter": "steps between floats, which balls are not rounded to",
    "imag": _COMPLEX,
    "complex64": _COMPLEX,
    "complex128": _COMPLEX,
    "fft": _COMPLEX,
    "from_dlpack": "balls live in no shared memory",
    **{
        f"unique_{name}": "needs every pair of balls compared; not built"
        for name in ("all", "counts", "inverse", "values")
    },
}
_LINALG_GAPS = {
    "qr": "unique only up to signs; not built",
    **dict.fromkeys(
        ("eigh", "eigvalsh", "svd", "svdvals", "matrix_rank"),
        "needs certified eigenvalues of a series; not built",
    ),
}


def _dtype(x: Any) -> np.dtype[Any]:
    return x.dtype if isinstance(x, BallArray | Truth | np.ndarray | np.generic) else np.dtype(x)


def result_type(*arguments: Any) -> np.dtype[Any]:
    """The numpy dtype that the labels of the arguments promote to."""
    plain = (bool, int, float)
    labels: list[Any] = [type(x) if type(x) in plain else _dtype(x) for x in arguments]
    return promoted(*labels)


def can_cast(x: Any, to: Any, /) -> bool:
    """Whether the standard lets a label become another."""
    return bool(np.can_cast(_dtype(x), to))


def finfo(x: Any, /) -> Any:
    """The float format that an array stands for; the balls have no such limits."""
    return dtypes.finfo(_dtype(x))


def iinfo(x: Any, /) -> Any:
    """The integer format that an array stands for."""
    return np.iinfo(_dtype(x))


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether a label is of a kind, as the standard names kinds."""
    return dtypes.isdtype(np.dtype(dtype), kind)


def namespace() -> Namespace:
    """A new namespace; `xp` is the one to use. A test replaces functions in its own."""
    constants = {
        name: with_precision(value, _CONSTANT_BITS)
        for name, value in (("pi", arb.pi), ("e", arb.const_e))
    }
    names = "bool float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64"
    overrides: dict[str, Any] = {
        **elementwise.FUNCTIONS,
        **exponentials.FUNCTIONS,
        **reductions.FUNCTIONS,
        **shapes.FUNCTIONS,
        **sorting.FUNCTIONS,
        **{name: linalg.FUNCTIONS[name] for name in ("matmul", "vecdot", "tensordot")},
        **{name: shapes.constant_of(value) for name, value in constants.items()},
        **{name: np.dtype(name) for name in names.split()},
        "inf": float("inf"),
        "nan": float("nan"),
        "newaxis": None,
        "result_type": result_type,
        "can_cast": can_cast,
        "finfo": finfo,
        "iinfo": iinfo,
        "isdtype": isdtype,
        "linalg": Namespace(
            "referee",
            SimpleNamespace(),
            linalg.FUNCTIONS,
            gaps=_LINALG_GAPS,
            prefix="xp.linalg",
        ),
    }
    return Namespace("referee", SimpleNamespace(), overrides, gaps=_GAPS)


xp = namespace()
