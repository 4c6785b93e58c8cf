"""A Slurm cluster of the tests' own, on one machine."""
