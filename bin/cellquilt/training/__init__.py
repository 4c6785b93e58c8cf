"""Training pixel classifiers from labelled images, and comparing them."""
