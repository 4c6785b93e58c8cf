"""Runs of the pipeline that are disturbed, and what they leave."""
