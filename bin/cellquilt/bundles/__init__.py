"""Small slides that share a task: all steps of each in a row, by the functions of the steps."""
