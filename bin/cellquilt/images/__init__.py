"""Label images in strips of rows, their outlines, and TIFFs read strictly."""
