"""The name of a method as people type it: `torch`, `jax:jit`, `torch:native`."""

from __future__ import annotations

#: The variant that exists for every case that has a `native_<method>`.
NATIVE = "native"


class Label(str):
    """A method and its variant. A string, since it is typed on command lines, written into tables
    and read from journals; whoever needs one of its two parts asks for it by name."""

    __slots__ = ()

    @classmethod
    def of(cls, method: str, variant: str = "") -> Label:
        """The label of a method, or of one of its variants."""
        return cls(f"{method}:{variant}" if variant else method)

    @property
    def method(self) -> str:
        """`jax` of `jax:jit`."""
        return self.partition(":")[0]

    @property
    def variant(self) -> str:
        """`jit` of `jax:jit`; "" where there is none."""
        return self.partition(":")[2]

    @property
    def native(self) -> bool:
        """Whether it is the case's own function in the framework's API."""
        return self.variant == NATIVE
