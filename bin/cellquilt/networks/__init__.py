"""Running a network over a stream of tiles: device, precision, batches, and maps out."""
