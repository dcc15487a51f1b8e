"""Questions beside right or wrong: conventions at kinks, speed."""
