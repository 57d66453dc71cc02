"""Exposures with many slits: one frame task, then a task for each slit from its cut-out to its spectrum, then the products."""
