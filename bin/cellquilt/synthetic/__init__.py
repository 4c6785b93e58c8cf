"""A generated tissue whose cells and nuclei are known."""
