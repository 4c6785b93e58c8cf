"""Compiled loops over arrays; each module is used, explained and tested beside its reference."""
