"""The float formats that a case is run in, and what follows from each.

numpy has no bfloat16: `ml_dtypes` gives it one, as a dtype that numpy takes for no float, of which
it knows no `finfo`, and to which a float64 is rounded twice (by way of float32). So nobody asks
numpy about a format; the harness asks this table. Nothing is imported before a number is needed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    import numpy as np

    from harness.model import Array

DtypeName = Literal["float64", "float32", "float16", "bfloat16"]
DTYPES: tuple[DtypeName, ...] = get_args(DtypeName)


@dataclass(frozen=True)
class Format:
    """A binary float format: `bits` of significand with the hidden one, and the exponents of its
    smallest normal number and of its largest one.

    `flushes`: whether the frameworks' kernels may replace a subnormal result by zero. On a CPU
    they do that in float32, and in the others that are computed in it and have its range; a
    float16 is converted, which keeps its subnormals (torch, tensorflow and jax were tried).
    """

    bits: int
    lowest: int
    highest: int
    flushes: bool = True

    @property
    def unit(self) -> float:
        """The unit roundoff u, half the distance from 1 to the next number."""
        return 2.0**-self.bits

    @property
    def digits(self) -> float:
        """Significant decimal digits: 15.95 of float64, 7.22, 3.31, and 2.41 of bfloat16."""
        return self.bits * math.log10(2)

    @property
    def tiny(self) -> float:
        """The smallest normal number."""
        return 2.0**self.lowest

    @property
    def subnormal(self) -> float:
        """The smallest number above zero."""
        return 2.0 ** (self.lowest - self.bits + 1)

    @property
    def largest(self) -> float:
        """The largest finite number."""
        return (2.0 - 2.0 * self.unit) * 2.0**self.highest

    @property
    def overflow(self) -> float:
        """The smallest magnitude that rounds to infinity; infinite for float64, our carrier."""
        return (2.0 - self.unit) * 2.0**self.highest

    @property
    def underflow(self) -> float:
        """How far off a result below the smallest normal number may be, be it ever so small."""
        return self.tiny if self.flushes else self.subnormal / 2

    def ulp(self, values: Any) -> Array:
        """The unit in the last place at each of some finite float64 `values`: the distance to the
        next number away from zero, the smallest subnormal at zero."""
        import numpy as np

        # frexp says m * 2**e with 1/2 <= m < 1.
        exponents = np.frexp(np.asarray(values, np.float64))[1] - 1
        exponents = np.where(np.asarray(values) == 0, self.lowest, exponents)
        exponents = np.clip(exponents, self.lowest, self.highest)
        return np.asarray(np.ldexp(1.0, exponents - (self.bits - 1)))

    def nearest(self, values: Any) -> Array:
        """Float64 `values` rounded once, ties to even, infinite beyond the range; still float64."""
        import numpy as np

        values = np.asarray(values, np.float64)
        finite = np.where(np.isfinite(values), values, 0.0)
        ulp = self.ulp(finite)
        rounded = np.rint(finite / ulp) * ulp
        rounded = np.where(np.abs(rounded) > self.largest, np.copysign(np.inf, finite), rounded)
        return np.asarray(np.where(np.isfinite(values), np.copysign(rounded, values), values))


FORMATS: dict[str, Format] = {
    "float64": Format(53, -1022, 1023),
    "float32": Format(24, -126, 127),
    "float16": Format(11, -14, 15, flushes=False),
    "bfloat16": Format(8, -126, 127),
}


def unit_roundoff(dtype: str) -> float:
    """u of a float dtype: 2**-53 for float64, 2**-24, 2**-11, and 2**-8 for bfloat16."""
    return FORMATS[dtype].unit


def dtype_digits(dtype: str) -> float:
    """Significant decimal digits of a float dtype."""
    return FORMATS[dtype].digits


def is_half(dtype: str) -> bool:
    """Whether a dtype has 16 bits: too few for anything that subtracts nearly equal numbers."""
    return FORMATS[dtype].bits < 24


def dtype_name(dtype: Any) -> str:
    """The name of a dtype that is given as a name, or as numpy takes one: `np.float32`, `float`.
    Of anything else, its text, which is no dtype's name."""
    import numpy as np

    if isinstance(dtype, str):
        return dtype
    try:
        return str(np.dtype(dtype).name)
    except TypeError:
        return str(dtype)


def numpy_dtype(dtype: str) -> np.dtype[Any]:
    """The numpy dtype of a name; numpy knows `bfloat16` from the first time this is asked."""
    import numpy as np

    if dtype == "bfloat16":
        import ml_dtypes  # noqa: F401  (it registers the name)

    return np.dtype(dtype)


def is_floating(dtype: np.dtype[Any]) -> bool:
    """Whether arrays of a numpy dtype are real floats; bfloat16 is one, whatever numpy says."""
    return dtype.kind == "f" or dtype.name in FORMATS


def isdtype(dtype: Any, kind: Any) -> bool:
    """`isdtype` of the standard, for numpy dtypes: bfloat16 is a real float like another."""
    import numpy as np

    if getattr(dtype, "name", "") == "bfloat16":
        return dtype == kind if isinstance(kind, np.dtype) else isdtype(np.dtype("float32"), kind)
    return bool(np.isdtype(dtype, kind))


def finfo(dtype: Any) -> Any:
    """`finfo` of the standard, for numpy dtypes."""
    import ml_dtypes
    import numpy as np

    return (ml_dtypes if np.dtype(dtype).name == "bfloat16" else np).finfo(dtype)


def locked(array: Array) -> Array:
    """A view that cannot be written to; the array itself stays as it is."""
    view = array.view()
    view.flags.writeable = False
    return view


def convert(array: Array, dtype: str) -> Array:
    """A copy in another float dtype, rounded once to the nearest; infinite beyond its range."""
    import numpy as np

    wanted = numpy_dtype(dtype)
    if array.dtype == wanted:
        return np.asarray(array.astype(wanted))
    with np.errstate(over="ignore", under="ignore"):
        if dtype == "bfloat16" and array.dtype.itemsize > 4:
            array = FORMATS[dtype].nearest(array)
        return np.asarray(array.astype(wanted))
