"""Pictures and counts of a sample, the report of a run, and MultiQC's content."""
