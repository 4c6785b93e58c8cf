"""The batching study: which patch and batch size is fastest on a machine."""
