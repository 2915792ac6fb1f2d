"""Evaluation in AlpacaEval's manner: its files, judges, win rates, length control."""
