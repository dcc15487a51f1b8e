"""What is known with a proof: derivatives of `forward` in balls, a `backward` beside them."""
