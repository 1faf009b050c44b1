"""From one Echo checkpoint to verified bundles: the workstation side of echo-edge (needs torch)."""
