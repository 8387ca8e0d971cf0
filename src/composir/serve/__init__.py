"""The server, what it is spoken to with, and how both find each other.

Nothing is imported here: `announced` and `client` are used without the extra `serve`.
"""
