"""Mesmer's weights and the SavedModel made of them, on Python 3.10 (deepcell) too."""
