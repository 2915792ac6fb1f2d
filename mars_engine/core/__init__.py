"""Errors, records, configuration, protocols, review state, progress, whole files and folders."""
