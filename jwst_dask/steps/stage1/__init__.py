"""Steps of stage 1: ramps to count rates."""
