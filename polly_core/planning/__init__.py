"""Deciding: manifests, selection, change steps, diff, validation, plan files.

Everything here is pure: files are read, nothing else happens, and the same input gives the same
bytes.
"""
