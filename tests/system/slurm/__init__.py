"""A Slurm cluster for the tests, on one machine."""
