"""Numbers and words inside a page of HTML."""

from __future__ import annotations

import json
import math


def as_json(value: object) -> str:
    """Return JSON that can stand inside a script element; numbers that are not finite become null."""
    text = json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # nothing in it may end the script element or begin a comment
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {str(name): _finite(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
