"""Why these are the hits: what each phrase changed, and what was seen in the reference."""

from composir.explain.effects import ExplainSettings
from composir.explain.explanation import Explanation, explain_search

__all__ = ["ExplainSettings", "Explanation", "explain_search"]
