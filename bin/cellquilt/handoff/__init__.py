"""The files that steps hand to each other: zarr stores, JSON and CSV files, checked before they are used."""
