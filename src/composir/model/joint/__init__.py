"""Joint encoders: pictures and words in, together, one vector out; run by one of two backends."""
