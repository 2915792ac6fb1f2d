"""Training a policy against reward models, through LoRA: DPO, RLOO, GRPO and PPO."""
