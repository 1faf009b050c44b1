"""Putting a bundle on a device: read it from anywhere, check it, install it in one step."""
