"""Mesmer's weights and its SavedModel; also runs on Python 3.10, in deepcell's environment."""
