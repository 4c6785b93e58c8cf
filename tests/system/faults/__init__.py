"""Runs of the pipeline with injected faults, and the files they leave."""
