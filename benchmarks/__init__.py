"""Side-by-side measurements, run from a checkout: `python -m benchmarks.<name>`.

Each prints a table for people and, as its last line on stdout, one JSON document for machines. They
use what users use, `echo_edge`, and nothing of `training/`. Three need `echo-edge[export]` too:
`operators`, `recipes`, and `roofline` for ExecuTorch.
"""
