"""What can be done to many datasets: one file per operation."""
