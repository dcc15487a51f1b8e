"""How far honest rounding moves each number: arrays that err in every operation."""
