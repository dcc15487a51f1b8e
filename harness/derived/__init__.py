"""The backward that the rules of calculus derive from `forward`, operation by operation."""
