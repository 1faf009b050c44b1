"""From one Echo checkpoint to verified bundles: the workstation side of echo-edge (needs torch)."""

import echo_edge  # noqa: F401 - switches off what onnxruntime does by itself, before it is imported
