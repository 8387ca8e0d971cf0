"""From picture files and texts to vectors: decode, preprocess, encode, and keep what was made.

`pictures` says what may be encoded, `stream` decodes ahead of a model, `store` keeps rows on disk
by (encoder, content); `images` and `texts` put these together for everybody who encodes many:
benchmarks, triplets, training.
"""
