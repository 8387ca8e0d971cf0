"""What becomes a bundle: models that people already have, read, checked and exported (torch).

The query path never imports this room; it needs the extra `foundation`.
"""
