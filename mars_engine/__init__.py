"""MARS: margin and semantic-aware data augmentation for reward modeling (arXiv 2602.17658).

The package is built in floors; a module imports from lower floors only:

    assembly    the command line, the workspace, the demo
    workflows   import, train, triage, propose, review, compose, evaluate, export: one file tells one step
    world       loaders, encoders, reward models, generators, the store
    maths       allocation, gate, composition, metrics, curvature: numpy only, no input or output
    words       errors, records, configuration, protocols
"""

__version__ = "0.1.0"
