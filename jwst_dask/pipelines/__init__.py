"""The pipelines as data: step orders per mode, products, and which pipeline an exposure type gets."""
