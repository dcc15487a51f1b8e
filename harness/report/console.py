"""Where text for people goes."""

from __future__ import annotations

from typing import NoReturn

from rich.console import Console


class Output(Console):
    """Standard output, as plain as it comes. rich would end the process with a status of its own
    where the reader has gone; what that means is the business of the command."""

    def __init__(self) -> None:
        super().__init__(highlight=False)

    def on_broken_pipe(self) -> NoReturn:
        """Called while a BrokenPipeError is handled."""
        raise
