"""Figures of models on development data."""
