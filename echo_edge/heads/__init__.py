"""Decoders: one per head, from the encoder's latents to turns, words and voices.

Each decoder holds everything that changes while audio flows, and nothing else.
"""
