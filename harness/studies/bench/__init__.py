"""How long each method takes, and which is faster, said only where the times tell it."""
