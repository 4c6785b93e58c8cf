"""Compiled loops over arrays; the tests compare each kernel with a reference implementation."""
