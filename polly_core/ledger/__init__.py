"""The record of every run: what is about to happen, what happened, who is at it."""
