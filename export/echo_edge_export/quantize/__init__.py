"""Recipes, calibration and integer weights: one arithmetic for all engines."""
