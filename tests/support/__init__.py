"""What several tests share: small slides, steps run in a row, tables."""
