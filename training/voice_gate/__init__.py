"""The Cortex-M voice gate in integers, and the scenes that it learns from."""
