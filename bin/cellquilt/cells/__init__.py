"""Cells as objects: matching with nuclei, measurements, the table, and scores."""
