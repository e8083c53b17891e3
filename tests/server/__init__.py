"""Tests of the HTTP side of the self-hosted atlas, and of its object store."""
