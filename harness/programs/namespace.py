"""The `xp` that a case's code is written against: the Python array API standard (2024.12), and the
functions of `harness.programs.operators`.

Each backend builds one `Namespace` around its framework's own functions. Here is only what they
share: the list of names that a case may use, and the error for a name that a framework lacks.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping
from typing import Any

from harness.errors import Unsupported
from harness.programs.operators.table import OPERATORS
from harness.programs.operators.writing import get_at, plain_index

#: Functions, constants and dtypes of the main namespace that a case may use.
STANDARD = frozenset(
    """
    e inf nan newaxis pi
    bool float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64
    complex64 complex128
    arange asarray empty empty_like eye from_dlpack full full_like linspace meshgrid ones
    ones_like tril triu zeros zeros_like
    astype broadcast_arrays broadcast_to can_cast finfo iinfo isdtype result_type
    abs acos acosh add asin asinh atan atan2 atanh bitwise_and bitwise_left_shift bitwise_invert
    bitwise_or bitwise_right_shift bitwise_xor ceil clip conj copysign cos cosh divide equal exp
    expm1 floor floor_divide greater greater_equal hypot imag isfinite isinf isnan less less_equal
    log log1p log2 log10 logaddexp logical_and logical_not logical_or logical_xor maximum minimum
    multiply negative nextafter not_equal positive pow real reciprocal remainder round sign signbit
    sin sinh square sqrt subtract tan tanh trunc
    take take_along_axis matmul matrix_transpose tensordot vecdot
    broadcast_to concat expand_dims flip moveaxis permute_dims repeat reshape roll squeeze stack
    tile unstack
    argmax argmin count_nonzero nonzero searchsorted where
    unique_all unique_counts unique_inverse unique_values
    argsort sort
    cumulative_prod cumulative_sum max mean min prod std sum var
    all any diff linalg fft
    """.split()
)

#: Every name of the main namespace that a case may use.
NAMES = STANDARD | OPERATORS.keys()

#: Functions of `xp.linalg`.
LINALG = frozenset(
    """
    cholesky cross det diagonal eigh eigvalsh inv matmul matrix_norm matrix_power matrix_rank
    matrix_transpose outer pinv qr slogdet solve svd svdvals tensordot trace vecdot vector_norm
    """.split()
)


class Namespace:
    """One backend's `xp`: `overrides` first, then the operators, then the attributes of `module`.

    `gaps` maps a name that the framework has but cannot differentiate, or lacks, to the reason;
    using it raises `Unsupported`, as does any standard name that neither source offers.
    """

    def __init__(
        self,
        backend: str,
        module: Any,
        overrides: Mapping[str, Any] | None = None,
        *,
        gaps: Mapping[str, str] | None = None,
        prefix: str = "xp",
    ) -> None:
        self._backend = backend
        self._module = module
        self._gaps = dict(gaps or {})
        self._prefix = prefix
        self.__dict__.update(overrides or {})

    def __getattr__(self, name: str) -> Any:
        # Reached only for names not yet in __dict__; a resolved name is kept there.
        if name.startswith("__"):
            raise AttributeError(name)
        if name in self._gaps:
            raise Unsupported(f"{self._backend}: `{self._prefix}.{name}`: {self._gaps[name]}")
        value = None
        if name in OPERATORS and self._prefix == "xp":
            value = OPERATORS[name].of(self._backend, self)
        try:
            value = getattr(self._module, name) if value is None else value
        except AttributeError:
            raise Unsupported(f"{self._backend} has no `{self._prefix}.{name}`") from None
        self.__dict__[name] = value
        return value

    def item(self, array: Any, key: Any) -> Any:
        """`array[key]`; a backend whose arrays cannot read every index overrides it."""
        return array[key]

    def gathered(self, array: Any, key: Any) -> Any:
        """`array[key]` without the brackets of the array."""
        return get_at(self, array, key)

    def plain_index(self, key: Any) -> Any:
        """An index as numpy reads it. Raises Unsupported where its values are not known, as while a
        framework compiles."""
        return plain_index(key)

    def knows(self, key: Any) -> bool:
        """Whether an index is known by its values, which one that is compiled is not."""
        try:
            self.plain_index(key)
        except Unsupported:
            return False
        return True

    def __repr__(self) -> str:
        return f"<{self._prefix} of {self._backend}>"


def of_numpy() -> Namespace:
    """The namespace of numpy arrays."""
    import array_api_compat.numpy

    module = array_api_compat.numpy
    linalg = Namespace("numpy", module.linalg, {"cholesky": _cholesky}, prefix="xp.linalg")
    return Namespace("numpy", module, {"linalg": linalg})


def _cholesky(x: Any, /, *, upper: bool = False) -> Any:
    """LAPACK reads one triangle, so that a step in the other changes nothing. Every framework
    differentiates it as a function of the symmetric part, which is what is decomposed where no more
    than a step is missing to symmetry."""
    import numpy as np

    turned = np.swapaxes(x, -1, -2)
    off = np.max(np.abs(x - turned), initial=0.0)
    if 0 < off <= 2.0**-5 * np.max(np.abs(x), initial=0.0):
        x = (x + turned) / 2
    return np.linalg.cholesky(x, upper=upper)


def named_result(fields: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` with its results under the names that the standard gives them (`Q R` of `qr`)."""
    result = namedtuple("Result", fields)  # type: ignore[misc]
    return lambda *arguments, **options: result(*function(*arguments, **options))
