"""Slides as labs have them: readers, metadata, and the normalisation that Mesmer expects."""
