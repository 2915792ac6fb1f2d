"""Transformers as reward models: one output, fine-tuned on pairs, saved as plain checkpoints."""
