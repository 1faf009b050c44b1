"""Bundles on emulated ARM processors: what they compute, and in how many instructions."""
