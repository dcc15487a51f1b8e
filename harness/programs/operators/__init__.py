"""Functions of `xp` that real code needs and the array API standard does not have.

Each is declared once, in `harness.programs.operators.table`, and is then there in every backend:
natively where a framework has it, else composed of the standard's own functions. To add one, write
it over `xp` in a module of this package and give it a line in that table; nothing else needs to
know.
"""
