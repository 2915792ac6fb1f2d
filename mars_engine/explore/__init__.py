"""Views of the pairs, selections, dossiers."""
