"""From a plan to rows: cells, answered and judged, here or by workers."""
