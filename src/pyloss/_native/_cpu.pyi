from __future__ import annotations

def supported_levels() -> list[str]:
    """
    Levels that this CPU can run, the best one last.
    """
