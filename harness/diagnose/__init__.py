"""Why a number is wrong: which line of `backward` is at fault, and what the fault looks like."""
