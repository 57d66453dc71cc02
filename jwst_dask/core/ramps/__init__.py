"""Ramps through stage 1: passes over blocks of frames or bands of rows, with a scratch store between them."""
