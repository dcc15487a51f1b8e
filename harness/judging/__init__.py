"""From answers to rows: references, comparisons, verdicts."""
