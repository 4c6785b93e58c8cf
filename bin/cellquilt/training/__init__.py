"""Training networks from labelled images, and comparing them."""
