"""Whether a sample looks right: figures, the checks that judge them, and likely causes."""
