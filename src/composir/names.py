"""What bundles and composers may be called; a test holds every manifest to it."""

NAME_PATTERN = "^[a-z0-9][a-z0-9._-]*$"
"""Names become folders, parts of file names and words on the command line, on every system."""
