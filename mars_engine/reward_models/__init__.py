"""The probe, transformers, training, scoring, triage, cartography."""
