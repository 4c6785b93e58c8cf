"""Masks that another tool made, taken in place of what a network would give."""
