"""A corpus of broken and malicious input, made anew by each run of the tests."""
