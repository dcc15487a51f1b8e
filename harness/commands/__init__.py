"""One file per command; each has `execute(options) -> exit status`."""
