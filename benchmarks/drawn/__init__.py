"""Programs drawn at random, each with a right backward, as case files."""
