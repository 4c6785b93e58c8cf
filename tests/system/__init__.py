"""The pipeline on real systems: schedulers, containers, profiles, kills and full disks."""
