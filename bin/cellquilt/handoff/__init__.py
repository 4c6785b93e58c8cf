"""What travels between steps: zarr stores, JSON and CSV files, checked before they are used."""
