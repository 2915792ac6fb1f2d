"""Records, errors, configuration, review state, progress, whole files and folders."""
