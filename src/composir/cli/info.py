"""`composir info`: what a gallery holds, and which model made it."""

from __future__ import annotations
