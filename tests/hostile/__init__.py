"""A corpus of broken and malicious input, written by each test run."""
