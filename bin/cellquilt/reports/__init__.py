"""What people look at: pictures and counts of a sample, and the page of a run."""
