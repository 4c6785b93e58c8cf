"""Networks that see a whole tile: an encoder and a decoder, which make two maps of its objects."""
