"""Bench records as a table, an HTML page, plots and a comparison."""
