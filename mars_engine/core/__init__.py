"""Records, errors, configuration, review state, progress, whole files and folders, where the shipped files are."""
