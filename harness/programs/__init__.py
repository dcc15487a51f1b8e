"""What can be judged: programs, over whatever arrays."""
