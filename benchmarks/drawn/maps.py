"""Elementwise functions of one and of two arrays, each in several spellings, with their VJPs.

A spelling is Python: `x` and `y` are the operands, `f` the result, `g` its cotangent, `ZERO`, `ONE`
and `TWO` arrays of these numbers of the shape of `x`; any other name that it assigns is its own. A
forward assigns `f`; a VJP (`dx:`, `dy:`) ends in the cotangent of the operand. Any forward goes
with any VJP of the same function: the stable one and the naive one alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

ONE_OPERAND = """
exp, is positive
    f = xp.exp(x)
    dx: g * f
    dx: g * xp.exp(x)
expm1
    f = xp.expm1(x)
    f = xp.exp(x) - 1
    dx: g * xp.exp(x)
    dx: g * (f + 1)
log, of positive
    f = xp.log(x)
    dx: g / x
    dx: g * xp.exp(-f)
log1p, of positive, is positive
    f = xp.log1p(x)
    f = xp.log(1 + x)
    dx: g / (1 + x)
    dx: g * xp.exp(-f)
log2, of positive
    f = xp.log2(x)
    f = xp.log(x) / xp.log(TWO)
    dx: g / (x * xp.log(TWO))
sin
    f = xp.sin(x)
    dx: g * xp.cos(x)
cos
    f = xp.cos(x)
    dx: -g * xp.sin(x)
tan
    f = xp.tan(x)
    f = xp.sin(x) / xp.cos(x)
    dx: g * (1 + f * f)
    dx: g / xp.cos(x) ** 2
tanh
    f = xp.tanh(x)
    e = xp.exp(2 * x); f = (e - 1) / (e + 1)
    dx: g * (1 - f**2)
    dx: g * (1 - f) * (1 + f)
    dx: g / xp.cosh(x) ** 2
    dx: e = xp.exp(-2 * xp.abs(x)); 4 * g * e / (1 + e) ** 2
sigmoid, is positive
    f = 1 / (1 + xp.exp(-x))
    e = xp.exp(x); f = e / (1 + e)
    f = 0.5 * (1 + xp.tanh(0.5 * x))
    a = xp.exp(-xp.abs(x)); f = xp.where(x >= 0, 1 / (1 + a), a / (1 + a))
    dx: g * f * (1 - f)
    dx: e = xp.exp(-x); g * e / (1 + e) ** 2
    dx: e = xp.exp(-xp.abs(x)); g * e / (1 + e) ** 2
softplus, is positive
    f = xp.log(1 + xp.exp(x))
    f = xp.log1p(xp.exp(x))
    f = xp.maximum(x, ZERO) + xp.log1p(xp.exp(-xp.abs(x)))
    f = xp.logaddexp(x, ZERO)
    dx: g / (1 + xp.exp(-x))
    dx: e = xp.exp(x); g * e / (1 + e)
    dx: g * 0.5 * (1 + xp.tanh(x / 2))
    dx: g * (1 - xp.exp(-f))
log sigmoid
    f = -xp.logaddexp(ZERO, -x)
    f = -xp.log(1 + xp.exp(-x))
    dx: g / (1 + xp.exp(x))
    dx: g * (1 - xp.exp(f))
silu
    f = x / (1 + xp.exp(-x))
    s = 1 / (1 + xp.exp(-x)); f = x * s
    dx: s = 1 / (1 + xp.exp(-x)); g * (s + x * s * (1 - s))
    dx: s = 1 / (1 + xp.exp(-x)); g * s * (1 + x * (1 - s))
    dx: s = 1 / (1 + xp.exp(-x)); g * (f + s * (1 - f))
gelu
    u = 0.75 * x + 0.03125 * x**3; f = 0.5 * x * (1 + xp.tanh(u))
    u = x * (0.75 + 0.03125 * x * x); f = x / (1 + xp.exp(-2 * u))
    dx: u = x**3 / 32; t = xp.tanh(0.75 * x + u); g * (1 + t + (1 - t * t) * (0.75 * x + 3 * u)) / 2
mish
    f = x * xp.tanh(xp.log1p(xp.exp(x)))
    dx: e = xp.exp(x); t = xp.tanh(xp.log1p(e)); g * (t + x * (1 - t**2) * e / (1 + e))
    dx: s = 1 / (1 + xp.exp(-x)); t = xp.tanh(xp.log1p(xp.exp(x))); g * (t + x * s * (1 - t * t))
relu
    f = xp.maximum(x, ZERO)
    f = xp.where(x > 0, x, ZERO)
    f = 0.5 * (x + xp.abs(x))
    f = x * xp.astype(x > 0, x.dtype)
    dx: xp.where(x > 0, g, ZERO)
    dx: g * xp.astype(x > 0, g.dtype)
    dx: 0.5 * g * (1 + xp.sign(x))
    dx: xp.where(x >= 0, g, xp.zeros_like(g))
leaky relu
    f = xp.where(x > 0, x, 0.125 * x)
    f = xp.maximum(x, 0.125 * x)
    dx: xp.where(x > 0, g, 0.125 * g)
    dx: g * xp.where(x > 0, ONE, 0.125 * ONE)
elu
    f = xp.where(x > 0, x, xp.expm1(xp.minimum(x, ZERO)))
    f = xp.where(x > 0, x, xp.exp(x) - 1)
    dx: xp.where(x > 0, g, g * xp.exp(xp.minimum(x, ZERO)))
    dx: xp.where(x > 0, g, g * (f + 1))
    dx: g * xp.exp(xp.minimum(x, ZERO))
abs
    f = xp.abs(x)
    f = xp.maximum(x, -x)
    f = xp.where(x < 0, -x, x)
    dx: g * xp.sign(x)
square
    f = x * x
    f = x**2
    f = xp.square(x)
    dx: 2 * g * x
    dx: g * x + x * g
cube
    f = x**3
    f = x * x * x
    dx: 3 * g * x**2
    dx: 3 * g * x * x
reciprocal, of positive, is positive
    f = 1 / x
    dx: -g * f**2
    dx: -g / x**2
    dx: -g / (x * x)
sqrt, of positive, is positive
    f = xp.sqrt(x)
    f = x**0.5
    dx: g / (2 * f)
    dx: 0.5 * g / xp.sqrt(x)
rsqrt, of positive, is positive
    f = 1 / xp.sqrt(x)
    s = xp.sqrt(x); f = 1 / s
    dx: -0.5 * g * f**3
    dx: -0.5 * g * f / x
    dx: -g / (2 * x * xp.sqrt(x))
softsign
    f = x / (1 + xp.abs(x))
    dx: g / (1 + xp.abs(x)) ** 2
    dx: g * (1 - xp.abs(f)) ** 2
atan
    f = xp.atan(x)
    f = xp.atan2(x, ONE)
    dx: g / (1 + x**2)
    dx: g / (1 + x * x)
    dx: g * xp.cos(f) ** 2
asinh
    f = xp.asinh(x)
    f = xp.log(x + xp.sqrt(1 + x * x))
    dx: g / xp.sqrt(1 + x**2)
    dx: g / xp.hypot(x, ONE)
    dx: g / xp.cosh(f)
sinh
    f = xp.sinh(x)
    f = 0.5 * (xp.exp(x) - xp.exp(-x))
    dx: g * xp.cosh(x)
cosh, is positive
    f = xp.cosh(x)
    dx: g * xp.sinh(x)
    dx: g * (xp.exp(x) - xp.exp(-x)) / 2
gauss
    f = xp.exp(-(x**2))
    s = x * x; f = xp.exp(-s)
    dx: -2 * g * x * f
clip
    f = xp.clip(x, -1, 1)
    f = xp.minimum(xp.maximum(x, -ONE), ONE)
    f = xp.where(x > 1, ONE, xp.where(x < -1, -ONE, x))
    dx: xp.where(xp.abs(x) < 1, g, ZERO)
    dx: xp.where((x >= -1) & (x <= 1), g, ZERO)
    dx: g * xp.astype(xp.abs(x) <= 1, g.dtype)
huber
    f = xp.where(xp.abs(x) <= 1, 0.5 * x * x, xp.abs(x) - 0.5)
    c = xp.clip(x, -1, 1); f = 0.5 * c**2 + xp.abs(x - c)
    dx: g * xp.clip(x, -1, 1)
    dx: g * xp.where(xp.abs(x) <= 1, x, xp.sign(x))
signed square
    f = x * xp.abs(x)
    f = xp.sign(x) * x**2
    dx: 2 * g * xp.abs(x)
power, of positive, is positive
    f = x**1.5
    f = x * xp.sqrt(x)
    dx: 1.5 * g * xp.sqrt(x)
    dx: 1.5 * g * f / x
exp2, is positive
    f = 2**x
    f = xp.exp(x * xp.log(TWO))
    dx: g * f * xp.log(TWO)
    dx: g * f * 0.6931471805599453
hypot, is positive
    f = xp.hypot(x, ONE)
    f = xp.sqrt(x**2 + 1)
    dx: g * x / f
    dx: g * x / xp.sqrt(1 + x * x)
sinc
    s = xp.where(x == 0, ONE, x); f = xp.where(x == 0, ONE, xp.sin(s) / s)
    dx: s = xp.where(x == 0, ONE, x); xp.where(x == 0, ZERO, g * (xp.cos(s) - f) / s)
fraction
    f = x - xp.floor(x)
    dx: g
hard swish
    f = x * xp.clip(x + 3, 0, 6) / 6
    dx: xp.where(x <= -3, ZERO, xp.where(x >= 3, g, g * (2 * x + 3) / 6))
tanhshrink
    f = x - xp.tanh(x)
    dx: g * (x - f) ** 2
    dx: g * xp.tanh(x) ** 2
log cosh
    f = xp.log(xp.cosh(x))
    f = xp.logaddexp(x, -x) - xp.log(TWO)
    dx: g * xp.tanh(x)
    dx: e = xp.exp(-2 * x); g * (1 - e) / (1 + e)
versine
    f = 1 - xp.cos(x)
    f = 2 * xp.sin(0.5 * x) ** 2
    dx: g * xp.sin(x)
    dx: 2 * g * xp.sin(x / 2) * xp.cos(x / 2)
third
    f = x / 3
    dx: g / 3
tenth
    f = 0.1 * x
    dx: 0.1 * g
    dx: g * 0.1
affine
    f = 3 * x - 2
    f = -2 + x * 3
    dx: 3 * g
negative
    f = -x
    f = 0 - x
    dx: -g
detour
    f = x + 1 - 1
    f = (x + 1) - ONE
    dx: g
"""

#: What makes a number positive, and nothing else.
GUARDING = """
square + 1, is positive
    f = x**2 + 1
    f = 1 + x * x
    dx: 2 * g * x
abs + 1/4, is positive
    f = xp.abs(x) + 0.25
    dx: g * xp.sign(x)
"""

TWO_OPERANDS = """
add
    f = x + y
    dx: g
    dy: g
subtract
    f = x - y
    dx: g
    dy: -g
multiply
    f = x * y
    dx: g * y
    dx: y * g
    dy: g * x
divide, of positive
    f = y / x
    dx: -g * y / x**2
    dx: -g * f / x
    dy: g / x
maximum
    f = xp.maximum(x, y)
    f = xp.where(x > y, x, y)
    dx: xp.where(x > y, g, xp.zeros_like(g))
    dx: g * (x > y)
    dy: xp.where(x > y, xp.zeros_like(g), g)
    dy: g * (x <= y)
minimum
    f = xp.minimum(x, y)
    f = xp.where(x <= y, x, y)
    dx: xp.where(x <= y, g, xp.zeros_like(g))
    dy: xp.where(x <= y, xp.zeros_like(g), g)
logaddexp
    f = xp.logaddexp(x, y)
    f = xp.log(xp.exp(x) + xp.exp(y))
    m = xp.maximum(x, y); f = m + xp.log(xp.exp(x - m) + xp.exp(y - m))
    dx: g * xp.exp(x - f)
    dx: g / (1 + xp.exp(y - x))
    dy: g * xp.exp(y - f)
    dy: g / (1 + xp.exp(x - y))
power, of positive
    f = x**y
    f = xp.exp(y * xp.log(x))
    dx: g * y * x ** (y - 1)
    dx: g * y * f / x
    dy: g * f * xp.log(x)
gate
    s = 1 / (1 + xp.exp(-y)); f = x * s
    dx: g / (1 + xp.exp(-y))
    dy: s = 1 / (1 + xp.exp(-y)); g * x * s * (1 - s)
atan2, of positive
    f = xp.atan2(y, x)
    dx: -g * y / (x**2 + y**2)
    dy: g * x / (x**2 + y**2)
squared distance
    f = (x - y) ** 2
    d = x - y; f = d * d
    dx: 2 * g * (x - y)
    dy: -2 * g * (x - y)
    dy: 2 * g * (y - x)
product of sum and difference
    f = (x + y) * (x - y)
    f = x**2 - y**2
    dx: 2 * g * x
    dy: -2 * g * y
hypotenuse, of positive
    f = xp.sqrt(x**2 + y**2)
    f = xp.hypot(x, y)
    dx: g * x / f
    dy: g * y / f
chosen by sign
    f = xp.where(x > 0, y, x * y)
    dx: xp.where(x > 0, xp.zeros_like(g), g * y)
    dy: xp.where(x > 0, g, g * x)
"""


@dataclass(frozen=True)
class Map:
    """An elementwise function. `vjps` has a tuple of spellings for each operand. `domain` says what
    the first operand has to be, `positive` whether the result is positive."""

    name: str
    forwards: tuple[str, ...]
    vjps: tuple[tuple[str, ...], ...]
    domain: str
    positive: bool


def _read(text: str) -> Iterator[Map]:
    """The functions of a text: a heading, and the indented spellings below it."""
    for block in text.strip().replace("\n    ", "\t").split("\n"):
        heading, *spellings = block.split("\t")
        name, *properties = heading.split(", ")
        vjps = [
            tuple(each[4:] for each in spellings if each.startswith(start))
            for start in ("dx: ", "dy: ")
        ]
        yield Map(
            name,
            tuple(each for each in spellings if not each.startswith(("dx: ", "dy: "))),
            tuple(each for each in vjps if each),
            "positive" if "of positive" in properties else "real",
            "is positive" in properties,
        )


UNARY = tuple(_read(ONE_OPERAND))
BINARY = tuple(_read(TWO_OPERANDS))
GUARDS = (*_read(GUARDING), *(each for each in UNARY if each.positive and each.domain == "real"))
