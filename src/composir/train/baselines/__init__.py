"""Published mappings, trained here so that they stand in the same tables."""
