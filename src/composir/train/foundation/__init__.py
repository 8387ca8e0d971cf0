"""The packaged foundation model: towers, data, recipe, export."""
