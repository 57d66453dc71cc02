"""Machinery without physics: steps, pipelines, plans, graphs, execution, the ledger."""
