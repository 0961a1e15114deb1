"""Controls, recovery, statistics and verdict: is the knowledge gone, or only hidden? Start at ``audit.audit``."""
