"""Floor 2: the world: loaders, encoders, reward models, generators, the store."""
