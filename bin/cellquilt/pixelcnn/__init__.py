"""Pixel classifiers: small convolutional networks that are free for any use."""
