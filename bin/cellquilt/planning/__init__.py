"""Before a run: what is understood of its slides, and what they will cost."""
