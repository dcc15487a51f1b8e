"""The error and gamma functions of numpy arrays, by scipy, in the dtype of their argument.

scipy takes 0.1 s to import, so it is imported when the first of them is asked for; and its
functions of float16 return float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special


def erf(x: Any, /) -> Any:
    """2 / sqrt(pi) times the integral of exp(-t**2) from 0 to x."""
    return _kept(scipy.special.erf, x)


def erfc(x: Any, /) -> Any:
    """1 - erf(x), without its cancellation."""
    return _kept(scipy.special.erfc, x)


def lgamma(x: Any, /) -> Any:
    """log |gamma(x)|."""
    return _kept(scipy.special.gammaln, x)


def digamma(x: Any, /) -> Any:
    """The derivative of log gamma(x)."""
    return _kept(scipy.special.digamma, x)


def _kept(function: Any, x: Any) -> Any:
    x = np.asarray(x)
    return np.asarray(function(x), x.dtype if x.dtype.kind == "f" else None)
