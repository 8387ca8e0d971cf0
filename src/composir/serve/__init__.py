"""The server of a gallery, and the clients that ask it.

Nothing is imported here: `calls` and `client` are used without the extra `serve`.
"""
