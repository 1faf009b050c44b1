"""This machine: processor, memory, heat, energy."""
