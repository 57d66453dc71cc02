"""Algorithms on ramps: groups of reads without reset."""
