"""Prefect flows: select, plan, fan out, report, state."""
