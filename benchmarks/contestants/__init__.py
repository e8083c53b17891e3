"""One program per contestant. Each reads a contest, does the update and prints its result."""
