"""Small graphs that benchmarks measure: one operator, bare products."""
