"""From picture files and texts to vectors: decode, preprocess, encode, and keep what was made.

`image_files` says what may be encoded, `stream` decodes ahead of a model, `feature_store` keeps
rows on disk by (encoder, content); `encoders` and `texts` put these together for everybody who
encodes many: benchmarks, triplets, training.
"""
