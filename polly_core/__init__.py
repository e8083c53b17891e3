"""Catalog client, planning, ledger, engine and self-hosted atlas. Knows nothing of Prefect."""
