"""Stage 2 steps."""
