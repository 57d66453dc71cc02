"""Stage 3 steps."""
