"""Helpers of several tests: small slides, steps run in sequence, tables."""
