"""The files that steps hand to each other: zarr stores, JSON and CSV, checked before their use."""
