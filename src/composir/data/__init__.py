"""Files on disk: written atomically, locked while in use."""
