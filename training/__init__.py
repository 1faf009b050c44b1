"""Train Echo: data, mixtures, losses, steps. Runs from a checkout: `python -m training.<step>`."""
