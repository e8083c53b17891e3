"""What stands on a Prefect server beside the flows: limits and automations."""
